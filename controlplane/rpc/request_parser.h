// Reads what came over the wire, and names the field when something is wrong with it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace bulkhead::controlplane {

// Parses an operator's request. InvalidArgument names the field for: text that is not UTF-8 or holds a NUL, an enum
// value or a field that this version does not have (a newer client may have meant a safeguard by it); or says that the
// bytes are no such message.
absl::Status ParseStrictly(const std::string& bytes, google::protobuf::Message* message);

// Parses a sensor's message. As ParseStrictly, but lets unknown fields and enum values pass: a newer sensor must stay
// under control.
absl::Status ParseLeniently(const std::string& bytes, google::protobuf::Message* message);

// The same bytes for the same message, always: what a request is compared by when it is repeated.
std::string SerializeDeterministically(const google::protobuf::Message& message);

}  // namespace bulkhead::controlplane
