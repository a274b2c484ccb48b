// A cgroup for the child process of a probe.
#include "sensor/kernel/probe_cgroup.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {

absl::StatusOr<ProbeCgroup> ProbeCgroup::Make(const std::string& parent) {
  const std::string path = absl::StrCat(parent, "/bulkhead-probe-", getpid());
  // A sensor that was killed while it probed, under the same number, left one.
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
    return ErrnoToStatus(errno, absl::StrCat("make cgroup ", path));
  return ProbeCgroup(path);
}

ProbeCgroup::~ProbeCgroup() {
  // The kernel lets a dead process leave its cgroup a moment after it was waited for.
  for (int i = 0; i < 100 && !path_.empty() && rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i) {
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace bulkhead::sensor
