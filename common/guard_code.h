// The tamper guard's one-time offline code, which a person types at a host's console.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

// A new code: 130 random bits as 26 characters without I, L, O and U, in groups of four, such as "7K2M-…-9X".
std::string NewGuardCode();

// What a host keeps instead of the code: SHA-256 (32 raw bytes) over the sensor's id and the code, so that one host's
// code is of no use at another. The code is taken as people type it: any case, with or without dashes and spaces, O for
// 0, I and L for 1. InvalidArgument: it has other characters or another length.
absl::StatusOr<std::string> GuardCodeHash(absl::string_view sensor_id, absl::string_view code);

}  // namespace bulkhead
