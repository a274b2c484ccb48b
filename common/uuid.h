// Random UUIDs (RFC 4122 version 4) as lower-case text.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace bulkhead {

// A new random UUID.
std::string NewUuid();

// True for 8-4-4-4-12 lower-case hexadecimal digits.
bool IsUuid(absl::string_view text);

}  // namespace bulkhead
