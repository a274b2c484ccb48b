// One process, held by a pidfd.
#include "sensor/kernel/held_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {

absl::StatusOr<HeldProcess> HeldProcess::Hold(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() && errno == ESRCH) return absl::NotFoundError("there is no such process");
  if (!pidfd.valid() && errno == EINVAL) return absl::InvalidArgumentError("the number is a thread, not a process");
  if (!pidfd.valid()) return ErrnoToStatus(errno, "pidfd_open");
  // The pidfd comes first: what is read now is about the process behind it, or about a later one, whose start differs.
  absl::StatusOr<ProcessInfo> info = ReadProcess(pid);
  if (!info.ok()) return absl::NotFoundError("the process has ended");
  HeldProcess held(pid, std::move(pidfd), *std::move(info));
  if (held.Ended()) return absl::NotFoundError("the process has ended");
  return held;
}

// Not by its state in /proc: a process whose first thread has ended looks like a zombie there and goes on with the
// others.
bool HeldProcess::Ended(absl::Duration patience) const {
  pollfd wait{pidfd_.get(), POLLIN, 0};
  return poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1;
}

absl::Status HeldProcess::Kill() const {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0) return absl::OkStatus();
  if (errno == ESRCH) return absl::NotFoundError("it ended before the signal");
  return ErrnoToStatus(errno, "pidfd_send_signal");
}

std::string HeldProcess::Describe() const {
  return absl::StrCat("pid ", pid_, " ", info_.command_line, " (",
                      info_.executable.empty() ? "no executable" : info_.executable, "), started at tick ",
                      info_.start_time_ticks, ", ", absl::FormatTime(StartedAt(info_.start_time_ticks)));
}

}  // namespace bulkhead::sensor
