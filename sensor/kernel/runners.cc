// Who has a blocked file mapped as code.
#include "sensor/kernel/runners.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/bpf_iter.h"

namespace bulkhead::sensor {
namespace {

constexpr int kKillRounds = 10;
constexpr absl::Duration kBetweenRounds = absl::Milliseconds(100);

// As the programs do it (bpf/lib/exec.h): who runs the file soon after came back.
absl::Status NoteStop(const std::string& policy_id, uint32_t pid, const BpfMap& stops) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const bh_policy_key key = PolicyKey(policy_id);
  const bh_stop stop{static_cast<uint64_t>(absl::ToInt64Nanoseconds(absl::DurationFromTimespec(now))), pid, 0};
  return stops.Update(&key, &stop);
}

}  // namespace

absl::Status Runners::List(const DesiredState& state, const FindUnlisted& unlisted) {
  ASSIGN_OR_RETURN(const std::string written, RunIterator(program_, nullptr));
  std::map<std::string, std::set<uint32_t>> found;  // by the bytes of the policy's key
  for (size_t at = 0; at + sizeof(bh_runner) <= written.size(); at += sizeof(bh_runner)) {
    bh_runner runner;
    std::memcpy(&runner, written.data() + at, sizeof(runner));
    if (runner.tgid <= 1 || runner.tgid == static_cast<uint32_t>(getpid())) continue;
    found[KeyText(runner.policy)].insert(runner.tgid);
  }
  const std::map<std::string, std::set<uint32_t>> not_named = unlisted();
  std::map<std::string, PolicyRunners> listed;
  for (const Policy& policy : state.policies) {
    if (policy.is_network()) continue;
    PolicyRunners& runners = listed[policy.id];
    runners.killed = runners_[policy.id].killed;
    const auto running = not_named.find(policy.id);
    if (running != not_named.end()) runners.pids.assign(running->second.begin(), running->second.end());
    for (const uint32_t pid : found[KeyText(PolicyKey(policy.id))]) {
      const absl::StatusOr<std::string> cgroup = CgroupOfProcess(static_cast<pid_t>(pid));
      if (cgroup.ok() && IsInside(scope_, *cgroup)) runners.pids.push_back(pid);
    }
  }
  runners_ = std::move(listed);
  return absl::OkStatus();
}

std::set<std::string> Runners::Deadly(const DesiredState& state, const std::set<std::string>& started) {
  std::set<std::string> deadly;
  for (const Policy& policy : state.policies) {
    const bool is_list = policy.policy_template == PolicyTemplate::kAllowList;
    if (!policy.kill_running || policy.action == PolicyAction::kNotify || policy.learn) continue;
    if (!is_list || started.count(KeyText(PolicyKey(policy.id))) != 0) deadly.insert(policy.id);
  }
  return deadly;
}

absl::Status Runners::Kill(const DesiredState& state, const std::set<std::string>& started,
                           const FindUnlisted& unlisted, const BpfMap& stops) {
  const std::set<std::string> deadly = Deadly(state, started);
  RETURN_IF_ERROR(List(state, unlisted));
  std::set<uint32_t> killed;
  for (int round = 0; round < kKillRounds && !deadly.empty(); ++round) {
    std::map<std::pair<std::string, uint32_t>, UniqueFd> held;
    for (const std::string& id : deadly) {
      for (const uint32_t pid : runners_[id].pids) {
        held[{id, pid}] = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      }
    }
    if (held.empty()) break;
    // Who is listed again while we hold it is the process that we hold: its number cannot have been given away.
    RETURN_IF_ERROR(List(state, unlisted));
    for (const auto& [who, pidfd] : held) {
      PolicyRunners& runners = runners_[who.first];
      const bool still = std::binary_search(runners.pids.begin(), runners.pids.end(), who.second);
      if (!still || !pidfd.valid() || syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0) continue;
      if (!killed.insert(who.second).second) continue;
      ++runners.killed;
      // What an allow-list does not name is many files: nothing that comes back.
      if (state.FindId(who.first)->policy_template == PolicyTemplate::kAllowList) continue;
      RETURN_IF_ERROR(NoteStop(who.first, who.second, stops));
    }
    absl::SleepFor(kBetweenRounds);
    RETURN_IF_ERROR(List(state, unlisted));
  }
  return absl::OkStatus();
}

bool Runners::any() const {
  return std::any_of(runners_.begin(), runners_.end(), [](const auto& entry) { return !entry.second.pids.empty(); });
}

}  // namespace bulkhead::sensor
