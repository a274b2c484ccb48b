// Protobuf messages as JSON or YAML, for scripts.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

namespace bulkhead::controlplane::cli {

enum class OutputFormat { kTable, kJson, kYaml };

// The protobuf JSON form, indented, with every field that has a presence-less default shown, so that a script never
// meets a missing key. Ends with a newline.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);

// As ToJson on one line: for streams, one object a line.
absl::StatusOr<std::string> ToJsonLine(const google::protobuf::Message& message);

// The same content as ToJson in block style YAML. Strings are always quoted, so that none is read back as a number.
absl::StatusOr<std::string> ToYaml(const google::protobuf::Message& message);

}  // namespace bulkhead::controlplane::cli
