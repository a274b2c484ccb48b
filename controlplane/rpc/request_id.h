// The id that one call has in logs, answers and errors.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// Metadata key, in the request and in the answer's initial metadata.
inline constexpr char kRequestIdKey[] = "x-request-id";

// What the caller asked for if it is 1..64 of [A-Za-z0-9._-], so that it can be searched for and forges no log line;
// else a new UUID.
std::string RequestIdFor(absl::string_view asked);

}  // namespace bulkhead::controlplane
