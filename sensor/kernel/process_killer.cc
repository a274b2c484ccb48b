// Kills the processes that are meant, and not others that have their numbers.
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/group_killer.h"
#include "sensor/kernel/held_process.h"
#include "sensor/kernel/kernel.h"
#include "sensor/kernel/never_killed.h"
#include "sensor/kernel/scope_resolver.h"

namespace bulkhead::sensor {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(5);

class PidfdKiller : public ProcessKiller {
 public:
  explicit PidfdKiller(Scope scope) : scope_(std::move(scope)) {}

  CommandResult Kill(const ProcessIdentity& process) override;
  CommandResult KillAll(const KillGroup& group) override;

 private:
  CommandResult KillAllOf(const ProcessTree& tree) const;
  CommandResult KillAllOf(const RunningFile& file) const { return KillRunningFile(file, NeverKilled(scope_)); }
  CommandResult KillAllOf(const PolicyScope& scope) const;

  const Scope scope_;
};

// An outcome of kUnknown with no message: go on.
bool IsFinal(const CommandResult& result) {
  return result.outcome != CommandOutcome::kUnknown || !result.message.empty();
}

CommandResult CheckBoot(const ProcessIdentity& process) {
  if (process.boot_id.empty()) return {};
  const absl::StatusOr<std::string> boot = ReadFile("/proc/sys/kernel/random/boot_id");
  if (!boot.ok())
    return {CommandOutcome::kUnknown, "", absl::StrCat("boot id not readable: ", boot.status().message())};
  if (absl::StripAsciiWhitespace(*boot) == process.boot_id) return {};
  return {CommandOutcome::kAlreadyGone, "", "the process lived in an earlier boot of this host"};
}

CommandResult CheckIdentity(const ProcessIdentity& process, const ProcessInfo& info) {
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

// The process that is meant, held; nothing when `result` says why not.
std::unique_ptr<HeldProcess> HoldMeant(const ProcessIdentity& process, const NeverKilled& never,
                                       CommandResult* result) {
  *result = CheckBoot(process);
  if (IsFinal(*result)) return nullptr;
  if (process.pid <= 1) {
    *result = {CommandOutcome::kRefused, "", absl::StrCat("pid ", process.pid, " is never killed")};
    return nullptr;
  }
  absl::StatusOr<HeldProcess> held = HeldProcess::Hold(static_cast<pid_t>(process.pid));
  if (!held.ok()) {
    const CommandOutcome outcome = absl::IsNotFound(held.status())          ? CommandOutcome::kAlreadyGone
                                   : absl::IsInvalidArgument(held.status()) ? CommandOutcome::kRefused
                                                                            : CommandOutcome::kUnknown;
    *result = {outcome, "", std::string(held.status().message())};
    return nullptr;
  }
  *result = CheckIdentity(process, held->info());
  const std::string reason = IsFinal(*result) ? "" : never.Reason(held->pid(), held->info());
  if (!reason.empty()) *result = {CommandOutcome::kRefused, "", reason};
  result->found = held->Describe();
  if (IsFinal(*result)) return nullptr;
  return std::make_unique<HeldProcess>(*std::move(held));
}

CommandResult PidfdKiller::Kill(const ProcessIdentity& process) {
  CommandResult result;
  const std::unique_ptr<HeldProcess> held = HoldMeant(process, NeverKilled(scope_), &result);
  if (held == nullptr) return result;
  const absl::Status signalled = held->Kill();
  if (absl::IsNotFound(signalled)) return {CommandOutcome::kAlreadyGone, result.found, "it ended before the signal"};
  if (!signalled.ok()) return {CommandOutcome::kUnknown, result.found, std::string(signalled.message())};
  if (held->Ended(kPatience)) return {CommandOutcome::kGone, result.found, "killed, and seen to end"};
  return {CommandOutcome::kSignalledStillThere, result.found,
          "SIGKILL was sent; after 5 s it is still there, in uninterruptible sleep"};
}

CommandResult PidfdKiller::KillAll(const KillGroup& group) {
  return std::visit([this](const auto& target) { return KillAllOf(target); }, group);
}

CommandResult PidfdKiller::KillAllOf(const ProcessTree& tree) const {
  const NeverKilled never(scope_);
  CommandResult result;
  const std::unique_ptr<HeldProcess> root = HoldMeant(tree.root, never, &result);
  if (root != nullptr) return KillTree(*root, never);
  if (result.outcome == CommandOutcome::kAlreadyGone) {
    absl::StrAppend(&result.message, "; whoever descended from it has another parent now: kill by file or by scope");
  }
  return result;
}

CommandResult PidfdKiller::KillAllOf(const PolicyScope& scope) const {
  const absl::StatusOr<std::optional<Scope>> cgroup = ScopeResolver(scope_).Resolve(scope);
  if (!cgroup.ok()) return {CommandOutcome::kRefused, "", std::string(cgroup.status().message())};
  if (!cgroup->has_value()) {
    return {CommandOutcome::kAlreadyGone, "", absl::StrCat("there is no ", DescribeScope(scope), " on this host")};
  }
  return KillCgroup(**cgroup, NeverKilled(scope_));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessKiller>> MakeProcessKiller(const std::string& scope) {
  ASSIGN_OR_RETURN(Scope resolved, ResolveScope(scope));
  return std::unique_ptr<ProcessKiller>(new PidfdKiller(std::move(resolved)));
}

}  // namespace bulkhead::sensor
