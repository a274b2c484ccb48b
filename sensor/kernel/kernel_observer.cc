// Observing: reads back what the kernel enforces.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/decide_net.h"
#include "common/status_macros.h"
#include "sensor/kernel/counters.h"
#include "sensor/kernel/kernel_datapath.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/policy_stats.h"
#include "sensor/kernel/shadow_list.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMaxRunningPids = 32;

bool Same(const bh_policy_key& a, const bh_policy_key& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

std::string StatId(const bh_policy_stat& stat) {
  return std::string(stat.id, strnlen(stat.id, sizeof(stat.id)));
}

// The policy's entry among the scoped walls in the kernel, or null.
const bh_scoped_wall* FindScoped(const bh_config& config, const bh_policy_key& key) {
  for (uint32_t i = 0; i < config.scoped_walls && i < BH_MAX_SCOPED_WALLS; ++i) {
    if (Same(config.scoped[i].policy, key)) return &config.scoped[i];
  }
  return nullptr;
}

// The names among `names` that work here, in this order.
std::vector<std::string> Available(const ProbeResult& probed, const std::vector<const char*>& names) {
  std::vector<std::string> available;
  for (const char* name : names) {
    if (probed.Has(name)) available.push_back(name);
  }
  return available;
}

}  // namespace

std::string KernelDatapath::PolicyId(const bh_policy_key& key) const {
  const absl::StatusOr<bh_policy_stat> stat = maps_.policies.Get<bh_policy_stat>(key);
  return stat.ok() ? StatId(*stat) : std::string();
}

ObservedPolicy KernelDatapath::NetworkPolicy(bool containment, uint8_t action) const {
  ObservedPolicy policy;
  policy.mechanisms = Available(probed_, {"cgroup_skb", "cgroup_connect", "cgroup_sendmsg", "sock_destroy"});
  if (!containment) return policy;
  const std::vector<std::string> killers =
      Available(probed_, {"kprobe_tcp_connect", "fentry_tcp_connect", "tp_inet_sock_set_state"});
  if (!killers.empty()) policy.mechanisms.push_back(killers.front());
  if (action == BH_ACTION_SIGKILL && killers.empty()) {
    policy.degraded =
        "no hook in tcp_connect works here: connections are refused with EPERM, the process is not killed";
  }
  return policy;
}

// Where the wall of a policy with a scope is, as this sensor saw it last.
void KernelDatapath::ObserveScope(const std::string& policy_id, ObservedPolicy* observed) const {
  const ScopedWalls::Wall* wall = scoped_.Find(policy_id);
  if (wall == nullptr) return;
  if (wall->present) observed->scope_cgroup = wall->cgroup->relative;
  if (wall->problem.empty()) return;
  absl::StrAppend(&observed->degraded, observed->degraded.empty() ? "" : "; ", wall->problem);
}

ObservedPolicy KernelDatapath::BinaryPolicy(const std::string& policy_id, uint32_t action, bool by_path) const {
  ObservedPolicy observed;
  const auto first = [this, &observed](const std::vector<const char*>& names) {
    const std::vector<std::string> available = Available(probed_, names);
    if (!available.empty()) observed.mechanisms.push_back(available.front());
    return !available.empty();
  };
  const bool digest = first({"exec_digest"});
  const bool refuses = first({"lsm_bprm_check", "fmod_ret_bprm_check"});
  const bool maps = first({"lsm_mmap_file", "fmod_ret_mmap_file"});
  const bool identity = first({"exec_identity"});
  first({"ksyscall_execve", "tp_sys_enter_execve"});
  std::vector<std::string> weaker;
  if (action == BH_ACTION_DENY && !refuses) {
    weaker.push_back("neither BPF LSM nor fmod_ret works here: the process is killed instead of refused");
  }
  if (!refuses && !identity) {
    weaker.push_back("only the path as the caller spells it is matched: another name of the file gets through");
  }
  if (!maps) {
    weaker.push_back(
        "nothing here sees a file mapped as code: the loader given the file, or its use as a library, is not stopped");
  }
  if (!digest) {
    weaker.push_back(
        by_path ? "this kernel cannot hash what it runs: copies are known by size and first 256 bytes"
                : "this kernel cannot hash what it runs: only copies of files that the sensor saw are stopped");
  }
  if (!blocked_.ProblemOf(policy_id).empty()) weaker.push_back(blocked_.ProblemOf(policy_id));
  if (!runner_problem_.empty()) weaker.push_back(absl::StrCat("who runs it is not known: ", runner_problem_));
  observed.degraded = absl::StrJoin(weaker, "; ");
  observed.sha256 = blocked_.ContentOf(policy_id);
  AddRunners(policy_id, &observed);
  return observed;
}

void KernelDatapath::AddRunners(const std::string& policy_id, ObservedPolicy* observed) const {
  const auto runners = runners_.all().find(policy_id);
  if (runners == runners_.all().end()) return;
  const std::vector<uint32_t>& pids = runners->second.pids;
  observed->running = static_cast<uint32_t>(pids.size());
  observed->running_pids.assign(pids.begin(), pids.begin() + std::min(pids.size(), kMaxRunningPids));
  observed->killed_running = runners->second.killed;
}

ObservedPolicy KernelDatapath::ListPolicy(const std::string& policy_id, const AllowLists::Status& list) const {
  ObservedPolicy observed;
  observed.mechanisms = Available(probed_, {"exec_digest", "lsm_bprm_check", "fmod_ret_bprm_check", "lsm_mmap_file",
                                            "fmod_ret_mmap_file", "exec_identity"});
  observed.scope_cgroup = list.cgroup;
  std::vector<std::string> weaker;
  if (!probed_.Has("lsm_mmap_file") && !probed_.Has("fmod_ret_mmap_file")) {
    weaker.push_back("nothing here sees a file mapped as code: libraries are neither judged nor learned");
  }
  if (!probed_.deny_exec) {
    weaker.push_back(
        "neither BPF LSM nor fmod_ret works here: what is not listed is killed instead of refused, and scripts are "
        "known by their path as given");
  }
  const Learned learned = learned_.Of(policy_id);
  if (learned.unreadable > 0) {
    weaker.push_back(absl::StrCat(learned.unreadable, " files that ran were gone or unreadable: they are not listed"));
  }
  if (!list.problem.empty()) weaker.push_back(list.problem);
  if (!runner_problem_.empty()) weaker.push_back(absl::StrCat("who runs it is not known: ", runner_problem_));
  observed.degraded = absl::StrJoin(weaker, "; ");
  observed.learned.assign(learned.binaries.begin(), learned.binaries.end());
  observed.learned_truncated = learned.truncated;
  AddRunners(policy_id, &observed);
  return observed;
}

absl::StatusOr<KernelDatapath::BlockRules> KernelDatapath::ReadBlocks() const {
  BlockRules blocks;
  ASSIGN_OR_RETURN(const PathRules paths, store_.ReadPaths());
  for (const auto& [path, rule] : paths) blocks[KeyText(rule.policy)] = {rule.action, rule.expires, true};
  ASSIGN_OR_RETURN(const FoundRules found, store_.ReadFound());
  for (const auto& [digest, rule] : found.digests) {
    blocks.try_emplace(KeyText(rule.rule.policy), BlockRule{rule.rule.action, rule.rule.expires, false});
  }
  return blocks;
}

absl::Status KernelDatapath::ObservePolicies(const bh_config& config, ObservedState* observed) const {
  ASSIGN_OR_RETURN(const std::vector<bh_policy_stat> stats, ReadPolicyStats(maps_.policies));
  ASSIGN_OR_RETURN(const BlockRules blocks, ReadBlocks());
  for (const bh_policy_stat& stat : stats) {
    const std::string id = StatId(stat);
    const bh_policy_key key = PolicyKey(id);
    const auto block = blocks.find(KeyText(key));
    ObservedPolicy policy;
    uint64_t expires = 0;
    uint8_t mode = BH_WALL_OFF;
    if (const AllowLists::Status* list = lists_.Find(id); list != nullptr) {
      policy = ListPolicy(id, *list);
      expires = list->rule.expires;
    } else if (config.contain != BH_WALL_OFF && Same(config.contain_policy, key)) {
      policy = NetworkPolicy(true, config.contain_action);
      expires = config.contain_expires;
      mode = config.contain;
    } else if (config.isolate != BH_WALL_OFF && Same(config.isolate_policy, key)) {
      policy = NetworkPolicy(false, BH_ACTION_DENY);
      expires = config.isolate_expires;
      mode = config.isolate;
    } else if (const bh_scoped_wall* wall = FindScoped(config, key); wall != nullptr) {
      policy = NetworkPolicy(wall->wall == BH_CONTAIN, wall->action);
      expires = wall->expires;
      mode = wall->mode;
    } else if (const ScopedWalls::Wall* waiting = scoped_.Find(id); waiting != nullptr) {
      policy.expires_at = waiting->policy.expires_at;
    } else if (block != blocks.end()) {
      policy = BinaryPolicy(id, block->second.action, block->second.by_path);
      expires = block->second.expires;
    } else {
      continue;  // an entry of an order that failed half-way
    }
    ObserveScope(id, &policy);
    policy.policy_id = id;
    policy.hits = stat.hits;
    policy.respawns = stat.respawns;
    if (mode == BH_WALL_SHADOW) {
      ASSIGN_OR_RETURN(policy.would_cut, ReadCuts(maps_.cuts, key));
    }
    if (expires != 0) policy.expires_at = FromBootNanoseconds(expires);
    policy.expired = bh_lease_over(expires, BootNanoseconds());
    if (!policy.degraded.empty()) observed->degraded.push_back(policy.degraded);
    observed->policies.push_back(std::move(policy));
  }
  return absl::OkStatus();
}

absl::StatusOr<ObservedState> KernelDatapath::Observe() {
  ObservedState observed;
  const absl::StatusOr<std::optional<bh_config>> read = store_.ReadConfig();
  if (!read.ok()) {
    observed.critical.push_back(absl::StrCat("the published rule set cannot be read: ", read.status().message()));
  } else if (read->has_value()) {
    const bh_config& config = **read;
    observed.receipt.generation = config.generation;
    std::memcpy(observed.receipt.digest.data(), config.digest, observed.receipt.digest.size());
    observed.receipt.enforced_at = absl::FromUnixNanos(config.enforced_at);
    const uint64_t now = BootNanoseconds();
    observed.contained = bh_leased_mode(config.contain, config.contain_expires, now) == BH_WALL_ENFORCE;
    observed.isolated = bh_leased_mode(config.isolate, config.isolate_expires, now) == BH_WALL_ENFORCE;
    for (uint32_t i = 0; i < config.scoped_walls && i < BH_MAX_SCOPED_WALLS; ++i) {
      const bh_scoped_wall& wall = config.scoped[i];
      observed.scoped_wall |= bh_leased_mode(wall.mode, wall.expires, now) == BH_WALL_ENFORCE;
    }
    RETURN_IF_ERROR(ObservePolicies(config, &observed));
  }
  observed.receipt.apply_time = apply_time_;
  observed.receipt.sockets_destroyed = sockets_destroyed_;
  observed.receipt.programs = programs_.Describe();
  ASSIGN_OR_RETURN(observed.counters, ReadCounters(maps_.count));
  frames_.Describe(&observed);
  interfaces_.Describe(&observed);
  observed.older_sensor_in_force = predecessor_.present();
  if (predecessor_.present() && !applied_) {
    observed.degraded.push_back(absl::StrCat("an earlier sensor, of ", predecessor_.name(),
                                             ", is in force too, until the first order that this one applies"));
  } else if (predecessor_.present()) {
    observed.degraded.push_back(
        absl::StrCat("an earlier sensor, of ", predecessor_.name(), ", is in force too: ", takeover_problem_));
  }
  if (!socket_problem_.empty()) observed.degraded.push_back(socket_problem_);
  ring_holders_.Describe(&observed);
  kernel_senders_.Describe(&observed);
  if (!repair_problem_.empty()) observed.critical.push_back(absl::StrCat("repair failed: ", repair_problem_));
  observed.drift_repairs = drift_repairs_;
  return observed;
}

}  // namespace bulkhead::sensor
