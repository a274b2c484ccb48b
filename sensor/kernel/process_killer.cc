// Kills one process, and not another that has its number.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/kernel.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {
namespace {

constexpr int kEndMillis = 5000;

std::string Describe(pid_t pid, const ProcessInfo& info) {
  return absl::StrCat("pid ", pid, " ", info.command_line, " (",
                      info.executable.empty() ? "no executable" : info.executable, "), started at tick ",
                      info.start_time_ticks, ", ", absl::FormatTime(StartedAt(info.start_time_ticks)));
}

class PidfdKiller : public ProcessKiller {
 public:
  explicit PidfdKiller(Scope scope) : scope_(std::move(scope)) {}

  CommandResult Kill(const ProcessIdentity& process) override;

 private:
  CommandResult CheckBeforeOpening(const ProcessIdentity& process) const;
  CommandResult CheckIdentity(const ProcessIdentity& process, const ProcessInfo& info) const;
  CommandResult CheckAllowed(pid_t pid, const ProcessInfo& info) const;

  const Scope scope_;
};

// An outcome of kUnknown with no message: go on.
bool IsFinal(const CommandResult& result) {
  return result.outcome != CommandOutcome::kUnknown || !result.message.empty();
}

CommandResult PidfdKiller::CheckBeforeOpening(const ProcessIdentity& process) const {
  if (process.pid <= 1) return {CommandOutcome::kRefused, "", absl::StrCat("pid ", process.pid, " is never killed")};
  if (static_cast<pid_t>(process.pid) == getpid()) return {CommandOutcome::kRefused, "", "this is the sensor itself"};
  if (process.boot_id.empty()) return {};
  const absl::StatusOr<std::string> boot = ReadFile("/proc/sys/kernel/random/boot_id");
  if (!boot.ok())
    return {CommandOutcome::kUnknown, "", absl::StrCat("boot id not readable: ", boot.status().message())};
  if (absl::StripAsciiWhitespace(*boot) == process.boot_id) return {};
  return {CommandOutcome::kAlreadyGone, "", "the process lived in an earlier boot of this host"};
}

CommandResult PidfdKiller::CheckIdentity(const ProcessIdentity& process, const ProcessInfo& info) const {
  if (process.start_time_ticks != 0 && process.start_time_ticks != info.start_time_ticks) {
    return {CommandOutcome::kNotTheSameProcess, "",
            absl::StrCat("the process that was meant started at tick ", process.start_time_ticks)};
  }
  if (process.start_time_ticks == 0 && StartedAt(info.start_time_ticks) > process.not_started_after) {
    return {CommandOutcome::kNotTheSameProcess, "",
            absl::StrCat("it started after the order was given, at ", absl::FormatTime(process.not_started_after))};
  }
  if (!process.executable.empty() && process.executable != info.executable) {
    return {CommandOutcome::kNotTheSameProcess, "",
            absl::StrCat("the process that was meant runs ", process.executable)};
  }
  return {};
}

CommandResult PidfdKiller::CheckAllowed(pid_t pid, const ProcessInfo& info) const {
  if (info.kernel_thread) return {CommandOutcome::kRefused, "", "it is a kernel thread"};
  const absl::StatusOr<std::string> cgroup = CgroupOfProcess(pid);
  if (!cgroup.ok())
    return {CommandOutcome::kUnknown, "", absl::StrCat("its cgroup is not readable: ", cgroup.status().message())};
  if (IsInside(scope_, *cgroup)) return {};
  return {CommandOutcome::kRefused, "",
          absl::StrCat("it is in cgroup ", *cgroup, ", outside this sensor's scope ", scope_.relative)};
}

CommandResult PidfdKiller::Kill(const ProcessIdentity& process) {
  CommandResult result = CheckBeforeOpening(process);
  if (IsFinal(result)) return result;
  const pid_t pid = process.pid;
  // The pidfd comes first: from here on the number may be given away, the descriptor stays with the process that was
  // checked.
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() && errno == ESRCH) return {CommandOutcome::kAlreadyGone, "", "there is no such process"};
  if (!pidfd.valid() && errno == EINVAL) return {CommandOutcome::kRefused, "", "the number is a thread, not a process"};
  if (!pidfd.valid()) return {CommandOutcome::kUnknown, "", absl::StrCat("pidfd_open failed with errno ", errno)};
  const absl::StatusOr<ProcessInfo> info = ReadProcess(pid);
  if (!info.ok() || info->zombie) return {CommandOutcome::kAlreadyGone, "", "the process has ended"};
  result = CheckIdentity(process, *info);
  if (!IsFinal(result)) result = CheckAllowed(pid, *info);
  result.found = Describe(pid, *info);
  if (IsFinal(result)) return result;
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0) {
    if (errno == ESRCH) return {CommandOutcome::kAlreadyGone, result.found, "it ended before the signal"};
    return {CommandOutcome::kUnknown, result.found, absl::StrCat("pidfd_send_signal failed with errno ", errno)};
  }
  pollfd wait{pidfd.get(), POLLIN, 0};
  if (poll(&wait, 1, kEndMillis) == 1) return {CommandOutcome::kGone, result.found, "killed, and seen to end"};
  return {CommandOutcome::kSignalledStillThere, result.found,
          "SIGKILL was sent; after 5 s it is still there, in uninterruptible sleep"};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessKiller>> MakeProcessKiller(const std::string& scope) {
  ASSIGN_OR_RETURN(Scope resolved, ResolveScope(scope));
  return std::unique_ptr<ProcessKiller>(new PidfdKiller(std::move(resolved)));
}

}  // namespace bulkhead::sensor
