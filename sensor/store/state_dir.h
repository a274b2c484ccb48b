// The state directory: private to root, and used by one sensor at a time.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

// Makes the directory (mode 0700) when it is not there. FailedPrecondition: it is not a directory, others may write to
// it, or it belongs to somebody else.
absl::Status PrepareStateDir(const std::string& path);

// Holds the directory until the descriptor is closed or the process ends. FailedPrecondition: another process holds it.
absl::StatusOr<UniqueFd> LockStateDir(const std::string& path);

}  // namespace bulkhead::sensor
