// The file of operators' keys that a sensor trusts.
#include "sensor/app/order_keys_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {
absl::StatusOr<OrderKeys> ReadOrderKeys(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, absl::StrCat("order_keys: ", path));
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("order_keys: ", path, " must be a regular file that only its owner, uid ", geteuid(),
                     ", can write: whoever writes it decides who may give orders here"));
  }
  return OrderKeys::Load(path);
}

}  // namespace bulkhead::sensor
