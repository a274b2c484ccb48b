// Kills several processes: looks, strikes, looks again, until a look finds nobody left.
#include "sensor/kernel/group_killer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/domain/kill_summary.h"
#include "sensor/kernel/fork_watch.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/running_files.h"

namespace bulkhead::sensor {
namespace {

constexpr absl::Duration kLongest = absl::Seconds(10);
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(2);
constexpr int kMostWalks = 16;

CommandResult NothingTouched(const absl::Status& why) {
  return {CommandOutcome::kRefused, "", absl::StrCat("nothing was touched: ", why.message())};
}

// One order's processes, from the first look at each to its end.
class Hunt {
 public:
  // Who is to be killed, asked again and again.
  using Lister = std::function<absl::StatusOr<std::vector<ProcessKey>>()>;

  explicit Hunt(const NeverKilled* never) : never_(never) {}

  // Looks at a process and, if told, sends it SIGKILL.
  void Visit(const ProcessKey& key, bool strike);

  // The kernel killed this one as it forked.
  void CountAsStruck(const ProcessKey& key);
  // SIGKILL was sent to all that were looked at and are not left alone.
  void CountAllAsStruck();

  // Strikes whoever `list` names until a look finds nobody new and nobody left, or the time is over.
  absl::Status KillUntilNone(const Lister& list);

  bool anybody_left_alone() const;
  std::vector<KilledProcess> processes() const;

 private:
  struct Known {
    KilledProcess process;
    bool looked_at = false;
    bool struck = false;
    bool settled = false;  // ended, or left alone
  };

  void Settle(Known* known, CommandOutcome outcome, std::string why);
  bool AllSettled() const;

  const NeverKilled* const never_;
  std::map<ProcessKey, Known> known_;
};

void Hunt::Settle(Known* known, CommandOutcome outcome, std::string why) {
  known->settled = true;
  known->process.outcome = outcome;
  known->process.message = std::move(why);
}

void Hunt::Visit(const ProcessKey& key, bool strike) {
  Known& known = known_[key];
  if (known.settled) return;
  known.process.pid = key.pid;
  const auto ended = [&] { Settle(&known, known.struck ? CommandOutcome::kGone : CommandOutcome::kAlreadyGone, ""); };
  const absl::StatusOr<HeldProcess> held = HeldProcess::Hold(static_cast<pid_t>(key.pid));
  if (absl::IsNotFound(held.status()) || (held.ok() && held->key() != key)) return ended();
  if (!held.ok()) return Settle(&known, CommandOutcome::kUnknown, std::string(held.status().message()));
  if (!known.looked_at) {
    known.looked_at = true;
    known.process.found = held->Describe();
    const std::string reason = never_->Reason(held->pid(), held->info());
    if (!reason.empty()) return held->Ended() ? ended() : Settle(&known, CommandOutcome::kRefused, reason);
  }
  known.process.outcome = known.struck ? CommandOutcome::kSignalledStillThere : CommandOutcome::kUnknown;
  if (!strike) return;
  const absl::Status signalled = held->Kill();
  if (absl::IsNotFound(signalled)) return ended();
  if (!signalled.ok()) return Settle(&known, CommandOutcome::kUnknown, std::string(signalled.message()));
  known.struck = true;
  known.process.outcome = CommandOutcome::kSignalledStillThere;
}

void Hunt::CountAsStruck(const ProcessKey& key) {
  Known& known = known_[key];
  known.struck = true;
  known.process.pid = key.pid;
  if (known.process.found.empty()) known.process.found = absl::StrCat("pid ", key.pid, ", as it forked");
  if (known.process.outcome == CommandOutcome::kAlreadyGone) known.process.outcome = CommandOutcome::kGone;
}

void Hunt::CountAllAsStruck() {
  for (auto& [key, known] : known_) known.struck = known.struck || !known.settled;
}

absl::Status Hunt::KillUntilNone(const Lister& list) {
  // Not the wall clock, which those who are hunted may set.
  const uint64_t deadline = BootNanoseconds() + static_cast<uint64_t>(absl::ToInt64Nanoseconds(kLongest));
  do {
    const size_t before = known_.size();
    ASSIGN_OR_RETURN(const std::vector<ProcessKey> listed, list());
    for (const ProcessKey& key : listed) known_[key];
    for (const auto& entry : known_) Visit(entry.first, true);
    if (AllSettled() && known_.size() == before) return absl::OkStatus();
    absl::SleepFor(kBetweenLooks);
  } while (BootNanoseconds() < deadline);
  return absl::OkStatus();
}

bool Hunt::AllSettled() const {
  return std::all_of(known_.begin(), known_.end(), [](const auto& entry) { return entry.second.settled; });
}

bool Hunt::anybody_left_alone() const {
  return std::any_of(known_.begin(), known_.end(),
                     [](const auto& entry) { return entry.second.process.outcome == CommandOutcome::kRefused; });
}

std::vector<KilledProcess> Hunt::processes() const {
  std::vector<KilledProcess> out;
  for (const auto& [key, known] : known_) out.push_back(known.process);
  return out;
}

CommandResult Ended(const Hunt& hunt, const absl::Status& looked, std::string how) {
  if (!looked.ok()) how = absl::StrCat("looking for more failed: ", looked.message());
  CommandResult result = SummarizeKills(hunt.processes(), how);
  if (!looked.ok()) result.outcome = CommandOutcome::kUnknown;
  return result;
}

// Adds the descendants of members that the table shows. The table is older than the list of members: whoever was forked
// by one while it was read is on that list and is no news.
absl::Status Walk(ForkWatch* watch, const std::vector<ProcessEntry>& table, bool* found_new) {
  ASSIGN_OR_RETURN(const std::vector<ForkWatch::Member> members, watch->Members());
  std::set<ProcessKey> known;
  for (const ForkWatch::Member& member : members) known.insert(member.key);
  const std::vector<ProcessKey> found = DescendantsOf(table, known);
  *found_new = !found.empty();
  return watch->Add(found);
}

// Until a walk finds nobody new: who is forked meanwhile is a member already.
absl::Status FollowTree(ForkWatch* watch, const ProcessKey& root, const std::vector<ProcessEntry>& before) {
  RETURN_IF_ERROR(watch->Add({root}));
  bool found_new = true;
  RETURN_IF_ERROR(Walk(watch, before, &found_new));
  for (int walk = 0; walk < kMostWalks && (found_new || walk == 0); ++walk) {
    RETURN_IF_ERROR(Walk(watch, ReadProcessTable(), &found_new));
  }
  return absl::OkStatus();
}

// The members of the tree; those that the kernel killed as they forked are struck already.
absl::StatusOr<std::vector<ProcessKey>> ListTree(ForkWatch* watch, Hunt* hunt, size_t* forked) {
  bool found_new = false;
  RETURN_IF_ERROR(Walk(watch, ReadProcessTable(), &found_new));
  ASSIGN_OR_RETURN(const std::vector<ForkWatch::Member> members, watch->Members());
  std::vector<ProcessKey> keys;
  *forked = 0;
  for (const ForkWatch::Member& member : members) {
    keys.push_back(member.key);
    if (member.killed) hunt->CountAsStruck(member.key);
    if (member.forked_here) ++*forked;
  }
  return keys;
}

std::vector<ProcessKey> KeysOf(const std::vector<pid_t>& pids) {
  std::vector<ProcessKey> keys;
  for (const pid_t pid : pids) {
    const absl::StatusOr<ProcessInfo> info = ReadProcess(pid);
    if (info.ok()) keys.push_back({static_cast<uint32_t>(pid), info->start_time_ticks});
  }
  return keys;
}

bool WriteCgroupKill(const Scope& cgroup) {
  const UniqueFd fd(open(absl::StrCat(cgroup.path, "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() && write(fd.get(), "1", 1) == 1;
}

}  // namespace

CommandResult KillTree(const HeldProcess& root, const NeverKilled& never) {
  // Read before the watch begins: a parent that ends while the first walk reads the table has its children here.
  const std::vector<ProcessEntry> before = ReadProcessTable();
  const absl::StatusOr<std::unique_ptr<ForkWatch>> watch = ForkWatch::Start();
  if (!watch.ok()) return NothingTouched(watch.status());
  if (const absl::Status followed = FollowTree(watch->get(), root.key(), before); !followed.ok())
    return NothingTouched(followed);
  if (const absl::Status armed = (*watch)->Arm(never.scope()); !armed.ok()) return NothingTouched(armed);
  Hunt hunt(&never);
  size_t forked = 0;
  const absl::Status looked = hunt.KillUntilNone([&] { return ListTree(watch->get(), &hunt, &forked); });
  std::string how = absl::StrCat(forked, " of the tree were forked while it was killed");
  if ((*watch)->lost() > 0) absl::StrAppend(&how, "; ", (*watch)->lost(), " more did not fit and may be left");
  return Ended(hunt, looked, std::move(how));
}

CommandResult KillRunningFile(const RunningFile& file, const NeverKilled& never) {
  absl::StatusOr<RunningFiles> files = RunningFiles::Of(file);
  if (!files.ok()) return NothingTouched(files.status());
  Hunt hunt(&never);
  return Ended(hunt, hunt.KillUntilNone([&files] { return files->Find(); }), "");
}

CommandResult KillCgroup(const Scope& cgroup, const NeverKilled& never) {
  const absl::StatusOr<std::string> type = ReadFile(absl::StrCat(cgroup.path, "/cgroup.type"));
  if (type.ok() && absl::StripAsciiWhitespace(*type) == "threaded") {
    return NothingTouched(absl::FailedPreconditionError(
        absl::StrCat(cgroup.relative, " holds threads of processes that belong to a cgroup above it; name that")));
  }
  Hunt hunt(&never);
  for (const ProcessKey& key : KeysOf(ProcessesIn(cgroup))) hunt.Visit(key, false);
  std::string how = absl::StrCat("one by one: somebody in ", cgroup.relative, " is left alone");
  if (!hunt.anybody_left_alone()) {
    const bool at_once = WriteCgroupKill(cgroup);
    if (at_once) hunt.CountAllAsStruck();
    how = absl::StrCat(
        at_once ? "at once, by cgroup.kill of " : "one by one: there is no cgroup.kill that can be written in ",
        cgroup.relative);
  }
  return Ended(hunt, hunt.KillUntilNone([&cgroup] { return KeysOf(ProcessesIn(cgroup)); }), std::move(how));
}

}  // namespace bulkhead::sensor
