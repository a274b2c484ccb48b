// The state directory.
#include "sensor/store/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {

absl::Status PrepareStateDir(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return ErrnoToStatus(errno, absl::StrCat("look at ", path));
    RETURN_IF_ERROR(MakeDirectories(path, 0700));
    if (lstat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, absl::StrCat("look at ", path));
  }
  if (!S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is not a directory"));
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat(path, " belongs to user ", info.st_uid, ", not to ", geteuid()));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, " can be written by others; run chmod 0700 ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> LockStateDir(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return ErrnoToStatus(errno, absl::StrCat("lock ", path));
  return absl::FailedPreconditionError(absl::StrCat("another sensor is running with the state directory ", path));
}

}  // namespace bulkhead::sensor
