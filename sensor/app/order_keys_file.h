// The file of operators' keys that a sensor trusts.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/order_keys.h"

namespace bulkhead::sensor {

// Reads the file (see OrderKeys::Parse). It must be a regular file of the user that the sensor runs as, which nobody
// else can write. FailedPrecondition says who can; InvalidArgument names file and line.
absl::StatusOr<OrderKeys> ReadOrderKeys(const std::string& path);

}  // namespace bulkhead::sensor
