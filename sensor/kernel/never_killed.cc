// Which processes are never killed, whatever is ordered.
#include "sensor/kernel/never_killed.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {

NeverKilled::NeverKilled(const Scope& scope) : scope_(scope) {
  pid_t pid = getpid();
  for (;;) {
    const absl::StatusOr<ProcessInfo> info = ReadProcess(pid);
    if (!info.ok() || info->parent == 0 || !ancestors_.insert(static_cast<pid_t>(info->parent)).second) return;
    pid = static_cast<pid_t>(info->parent);
  }
}

std::string NeverKilled::Reason(pid_t pid, const ProcessInfo& info) const {
  if (pid <= 1) return absl::StrCat("pid ", pid, " is never killed");
  if (pid == getpid()) return "this is the sensor itself";
  if (ancestors_.count(pid) != 0) return "the sensor is a descendant of it";
  if (info.kernel_thread) return "it is a kernel thread";
  const absl::StatusOr<std::string> cgroup = CgroupOfProcess(pid);
  if (!cgroup.ok()) return absl::StrCat("its cgroup is not readable: ", cgroup.status().message());
  if (IsInside(scope_, *cgroup)) return "";
  return absl::StrCat("it is in cgroup ", *cgroup, ", outside this sensor's scope ", scope_.relative);
}

}  // namespace bulkhead::sensor
