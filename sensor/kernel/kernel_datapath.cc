// Opening and applying. What is refused: kernel_refusals.cc; upkeep: kernel_maintenance.cc; reading back:
// kernel_observer.cc.
#include "sensor/kernel/kernel_datapath.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/kernel/counters.h"
#include "sensor/kernel/endpoints.h"
#include "sensor/kernel/interfaces/physical_interfaces.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/libbpf_log.h"
#include "sensor/kernel/pins.h"
#include "sensor/kernel/policy_stats.h"
#include "sensor/kernel/shadow_list.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kZero = 0;

uint8_t WallMode(const Policy* policy) {
  if (policy == nullptr) return BH_WALL_OFF;
  return policy->action == PolicyAction::kNotify ? BH_WALL_SHADOW : BH_WALL_ENFORCE;
}

// Is it a wall that the kernel still enforces?
bool Cuts(const Policy& policy) {
  const bool over =
      policy.expires_at.has_value() && policy.on_expiry == OnExpiry::kRelease && *policy.expires_at <= absl::Now();
  return policy.is_network() && policy.action != PolicyAction::kNotify && !over;
}

std::vector<std::string> PolicyIds(const DesiredState& state) {
  std::vector<std::string> ids;
  for (const Policy& policy : state.policies) ids.push_back(policy.id);
  return ids;
}

// What our own programs refused so far, wherever.
absl::StatusOr<uint64_t> DeniedCalls(const BpfMap& count) {
  ASSIGN_OR_RETURN(const std::vector<Counter> counters, ReadCounters(count));
  uint64_t sum = 0;
  for (const Counter& counter : counters) {
    const bool refusal = absl::StartsWith(counter.name, "deny_") || absl::StartsWith(counter.name, "drop_");
    sum += refusal ? counter.value : 0;
  }
  return sum;
}

}  // namespace

KernelDatapath::KernelDatapath(Scope scope, std::string directory, UniqueFd lock, Predecessor predecessor,
                               ProbeResult probed, Programs programs, RuleSetStore store, SocketWalker walker,
                               RingHolders ring_holders)
    : scope_(std::move(scope)),
      directory_(std::move(directory)),
      lock_(std::move(lock)),
      predecessor_(std::move(predecessor)),
      probed_(std::move(probed)),
      programs_(std::move(programs)),
      store_(std::move(store)),
      walker_(std::move(walker)),
      ring_holders_(std::move(ring_holders)),
      frames_(directory_),
      interfaces_(directory_, scope_.is_host()),
      runners_(programs_.Find("bh_running"), scope_),
      scoped_(scope_) {
  probed_.capabilities.mechanisms.push_back(frames_.mechanism());
}

absl::StatusOr<std::unique_ptr<Datapath>> KernelDatapath::Open(const DatapathOptions& options) {
  CaptureLibbpfLog();
  ASSIGN_OR_RETURN(Scope scope, ResolveScope(options.scope));
  RETURN_IF_ERROR(EnsureBpffs(options.bpffs));
  EnsureTracefs();
  ASSIGN_OR_RETURN(const std::string scope_directory, PinDirectory(options.bpffs, options.pin_key, scope));
  const std::string directory = LayoutDirectory(scope_directory);
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(UniqueFd lock, LockDirectory(scope_directory));
  // Asked before anything is loaded: maps of another layout cannot be adopted.
  ASSIGN_OR_RETURN(Predecessor predecessor, Predecessor::Find(scope_directory));
  if (!predecessor.published()) RETURN_IF_ERROR(predecessor.Retire());
  ASSIGN_OR_RETURN(ProbeResult probed, ProbeKernel());
  std::set<std::string> wanted = probed.programs;
  wanted.insert({"bh_file_id", "bh_running"});
  if (probed.Has("exec_identity")) wanted.insert("bh_rtp_mkdir");  // raw tracepoints work
  ASSIGN_OR_RETURN(Programs programs, Programs::Load(directory, scope, wanted));
  ASSIGN_OR_RETURN(RuleSetStore store, RuleSetStore::Open(directory));
  ASSIGN_OR_RETURN(SocketWalker walker, SocketWalker::Open(directory, scope));
  ASSIGN_OR_RETURN(RingHolders ring_holders, RingHolders::Open(directory, scope, options.kill_ring_holders));
  std::unique_ptr<KernelDatapath> datapath(
      new KernelDatapath(std::move(scope), directory, std::move(lock), std::move(predecessor), std::move(probed),
                         std::move(programs), std::move(store), std::move(walker), std::move(ring_holders)));
  RETURN_IF_ERROR(datapath->OpenMaps());
  RETURN_IF_ERROR(datapath->WriteHostFacts(options.sensor_cgroup));
  datapath->AttachInterfaces();
  RETURN_IF_ERROR(datapath->RefreshOverlayLayout());
  RETURN_IF_ERROR(datapath->walker_.MarkOldConnections());
  RETURN_IF_ERROR(datapath->RefreshAddresses(nullptr));
  RETURN_IF_ERROR(datapath->store_.PrepareIdleSlot());
  return std::unique_ptr<Datapath>(std::move(datapath));
}

absl::Status KernelDatapath::OpenMaps() {
  const auto open = [this](const char* name) { return BpfMap::OpenPinned(absl::StrCat(directory_, "/", name)); };
  ASSIGN_OR_RETURN(maps_.host, open("bh_host"));
  ASSIGN_OR_RETURN(maps_.policies, open("bh_policies"));
  ASSIGN_OR_RETURN(maps_.stops, open("bh_stops"));
  ASSIGN_OR_RETURN(maps_.count, open("bh_count"));
  ASSIGN_OR_RETURN(maps_.events, open("bh_events"));
  ASSIGN_OR_RETURN(maps_.cuts, open("bh_cuts"));
  ASSIGN_OR_RETURN(maps_.control_plane, open("bh_ctrl"));
  ASSIGN_OR_RETURN(maps_.local, open("bh_local"));
  ASSIGN_OR_RETURN(maps_.want, open("bh_want"));
  ASSIGN_OR_RETURN(maps_.overlay, open("bh_overlay"));
  ASSIGN_OR_RETURN(maps_.learned, open("bh_learned"));
  ASSIGN_OR_RETURN(control_plane_, maps_.control_plane.Keys<bh_endpoint>());
  ASSIGN_OR_RETURN(events_,
                   EventReader::Open(maps_.events.fd(), [this](const bh_policy_key& key) { return PolicyId(key); }));
  return absl::OkStatus();
}

absl::Status KernelDatapath::WriteHostFacts(const std::string& sensor_cgroup) {
  host_.scope_cgroup = scope_.id;
  host_.scope_level = scope_.level;
  if (!sensor_cgroup.empty()) {
    ASSIGN_OR_RETURN(host_.sensor_cgroup, CgroupId(sensor_cgroup));
  }
  ASSIGN_OR_RETURN(host_.netns_cookie, OwnNamespaceCookie());
  host_.kill_connect = probed_.kill_connect;
  host_.deny_exec = probed_.deny_exec;
  host_.abi = BH_ABI_VERSION;
  ASSIGN_OR_RETURN(const bh_host before, maps_.host.Get<bh_host>(kZero));
  host_.arrivals = before.arrivals;  // an earlier sensor's filters have recorded them
  RETURN_IF_ERROR(predecessor_.AdmitSensor(host_.sensor_cgroup));
  return maps_.host.Update(&kZero, &host_);
}

// Behind a wall that is up already only the sensor may, and a sensor that was started again has another cgroup: not
// before the programs know it.
void KernelDatapath::AttachInterfaces() {
  if (!predecessor_.present()) interfaces_.Attach().IgnoreError();  // the mechanism tells
  probed_.capabilities.mechanisms.push_back(interfaces_.mechanism());
}

absl::StatusOr<KernelDatapath::Leases> KernelDatapath::KnownLeases(const DesiredState& state) const {
  Leases known;
  const absl::StatusOr<std::optional<bh_config>> read = store_.ReadConfig();
  if (!read.ok() || !read->has_value()) return known;
  const bh_config& config = **read;
  const bool same = config.generation == state.generation &&
                    std::memcmp(config.digest, state.digest.data(), sizeof(config.digest)) == 0;
  if (!same) return known;
  const auto add = [&known](const bh_policy_key& policy, uint64_t expires) {
    if (expires != 0) known[KeyText(policy)] = expires;
  };
  add(config.contain_policy, config.contain_expires);
  add(config.isolate_policy, config.isolate_expires);
  for (uint32_t i = 0; i < config.scoped_walls && i < BH_MAX_SCOPED_WALLS; ++i) {
    add(config.scoped[i].policy, config.scoped[i].expires);
  }
  ASSIGN_OR_RETURN(const PathRules paths, store_.ReadPaths());
  for (const auto& [path, rule] : paths) add(rule.policy, rule.expires);
  ASSIGN_OR_RETURN(const FoundRules found, store_.ReadFound());
  for (const auto& [digest, rule] : found.digests) add(rule.rule.policy, rule.rule.expires);
  for (const auto& [path, list] : found.awaited) add(list.rule.policy, list.rule.expires);
  for (const auto& [cgroup, list] : found.lists) add(list.rule.policy, list.rule.expires);
  return known;
}

uint64_t KernelDatapath::CgroupInKernel(const std::string& policy_id) const {
  const absl::StatusOr<std::optional<bh_config>> config = store_.ReadConfig();
  const bh_policy_key key = PolicyKey(policy_id);
  if (!config.ok() || !config->has_value()) return 0;
  for (uint32_t i = 0; i < (*config)->scoped_walls && i < BH_MAX_SCOPED_WALLS; ++i) {
    const bh_scoped_wall& wall = (*config)->scoped[i];
    if (std::memcmp(&wall.policy, &key, sizeof(key)) == 0) return wall.cgroup;
  }
  return 0;
}

uint64_t KernelDatapath::ExpiryOf(const Policy& policy, const Leases& known) {
  if (!policy.expires_at.has_value() || policy.on_expiry == OnExpiry::kHold) return 0;
  const auto found = known.find(KeyText(PolicyKey(policy.id)));
  return found != known.end() ? found->second : ToBootNanoseconds(*policy.expires_at);
}

// Continues what the kernel has: sockets remember the number of the set that allowed them, whoever published it.
uint32_t KernelDatapath::NextSerial() const {
  const absl::StatusOr<std::optional<bh_config>> read = store_.ReadConfig();
  const uint32_t serial = read.ok() && read->has_value() ? (*read)->serial + 1 : 1;
  return serial == 0 ? 1 : serial;
}

absl::StatusOr<RuleSet> KernelDatapath::Compile(const DesiredState& state, const ScopedWalls& scoped,
                                                BlockedFiles* blocked, AllowLists* lists) const {
  RuleSet set;
  const Policy* contain = state.Find(PolicyTemplate::kNetworkContainment);
  const Policy* isolate = state.Find(PolicyTemplate::kNetworkIsolation);
  ASSIGN_OR_RETURN(const Leases leases, KnownLeases(state));
  set.config.generation = state.generation;
  set.config.serial = NextSerial();
  std::memcpy(set.config.digest, state.digest.data(), sizeof(set.config.digest));
  set.config.contain = WallMode(contain);
  set.config.isolate = WallMode(isolate);
  if (contain != nullptr) {
    set.config.contain_policy = PolicyKey(contain->id);
    set.config.contain_expires = ExpiryOf(*contain, leases);
    set.config.contain_action = contain->action == PolicyAction::kSigkill ? BH_ACTION_SIGKILL : BH_ACTION_DENY;
  }
  if (isolate != nullptr) {
    set.config.isolate_policy = PolicyKey(isolate->id);
    set.config.isolate_expires = ExpiryOf(*isolate, leases);
  }
  for (const bh_scoped_wall& wall : scoped.Compile([&leases](const Policy& p) { return ExpiryOf(p, leases); })) {
    if (set.config.scoped_walls == BH_MAX_SCOPED_WALLS) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", BH_MAX_SCOPED_WALLS, " walls with a scope"));
    }
    set.config.scoped[set.config.scoped_walls++] = wall;
  }
  if (state.isolates()) {
    ASSIGN_OR_RETURN(set.network, CompileRules(state.isolation_rules));
    std::copy(set.network.lengths.begin(), set.network.lengths.end(), set.config.rules);
  }
  ASSIGN_OR_RETURN(const FoundRules adopted, store_.ReadFound());
  blocked->Reset(state, adopted, [&leases](const Policy& policy) { return ExpiryOf(policy, leases); });
  blocked->Refresh(identifier());
  if (blocked->size() > 0) blocked->AddRunningCopies(identifier(), scope_);
  set.paths = blocked->paths();
  lists->Reset(state, [&leases](const Policy& policy) { return ExpiryOf(policy, leases); });
  if (lists->size() > BH_MAX_LISTS) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", BH_MAX_LISTS, " allow-lists"));
  }
  if (lists->size() > 0) lists->Refresh(identifier(), scope_, list_abilities());
  set.found = Found(*blocked, *lists);
  RETURN_IF_ERROR(CheckSizes(set));
  set.config.exec_content = blocked->content_flags(probed_.Has("exec_digest"));
  if (lists->size() > 0) set.config.exec_content |= BH_CONTENT_LISTS;
  if (lists->size() > 0 && list_abilities().hash) set.config.exec_content |= BH_CONTENT_HASHES;
  set.config.exec_policies = blocked->size() + lists->size();
  return set;
}

absl::Status KernelDatapath::CheckSizes(const RuleSet& set) {
  const FoundRules& found = set.found;
  const size_t most = std::max({set.paths.size(), found.files.size(), found.digests.size(), found.prints.size()});
  if (most > BH_MAX_EXEC_ENTRIES) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", BH_MAX_EXEC_ENTRIES, " blocked files"));
  }
  if (found.allowed.size() > BH_MAX_ALLOWED) {
    return absl::ResourceExhaustedError(absl::StrCat("the allow-lists name more than ", BH_MAX_ALLOWED, " files"));
  }
  return absl::OkStatus();
}

FoundRules KernelDatapath::Found(const BlockedFiles& blocked, const AllowLists& lists) {
  FoundRules found = blocked.found();
  found.lists = lists.lists();
  found.awaited = lists.awaited();
  found.allowed = lists.allowed();
  return found;
}

absl::Status KernelDatapath::Apply(const DesiredState& state) {
  const absl::Time start = absl::Now();
  if (state.policies.size() > BH_MAX_POLICIES) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", BH_MAX_POLICIES, " policies"));
  }
  for (const Policy& policy : state.policies) RETURN_IF_ERROR(CheckSupported(policy));
  BlockedFiles blocked = blocked_;
  AllowLists lists = lists_;
  ScopedWalls scoped = scoped_;
  scoped.Reset(state, [this](const Policy& policy) { return CgroupInKernel(policy.id); });
  ASSIGN_OR_RETURN(RuleSet set, Compile(state, scoped, &blocked, &lists));
  RETURN_IF_ERROR(AddPolicyStats(maps_.policies, PolicyIds(state)));
  set.config.enforced_at = absl::ToUnixNanos(absl::Now());
  RETURN_IF_ERROR(predecessor_.KeepOlderOut());
  ASSIGN_OR_RETURN(const ListRules before, store_.ReadLists());
  if (state.has_wall()) {
    interfaces_.TakeNeighbours();
    RETURN_IF_ERROR(RefreshAddresses(nullptr));
  }
  RETURN_IF_ERROR(store_.Publish(set));
  blocked_ = std::move(blocked);
  scoped_ = std::move(scoped);
  scope_moves_.clear();
  lists_ = std::move(lists);
  state_ = state;
  applied_ = true;
  apply_time_ = absl::Now() - start;
  probe_plan_ = PlanWallProbes(state, probed_.Has("cgroup_connect"));
  TakeOver();
  sockets_destroyed_ = 0;
  socket_problem_.clear();
  ring_holders_.Reset();
  kernel_senders_.Reset();
  interfaces_.Reset();
  RETURN_IF_ERROR(RemoveOtherCuts(maps_.cuts, PolicyIds(state)));
  RETURN_IF_ERROR(learned_.Reset(maps_.learned, lists_.Learning()));
  runners_due_ = true;
  started_lists_ = StartedLists(before, lists_.lists());
  const absl::Status killed = RefreshRunners();
  runner_problem_ = killed.ok() ? std::string() : std::string(killed.message());
  return RemoveOtherPolicyStats(maps_.policies, PolicyIds(state));
}

// Until this succeeds both sensors' programs are in force, and what either forbids is refused. Tried again at each
// Maintain.
void KernelDatapath::TakeOver() {
  if (!applied_ || !predecessor_.present()) return;
  const std::string name = predecessor_.name();
  const auto run = [this]() -> absl::Status {
    RETURN_IF_ERROR(interfaces_.Attach());
    RETURN_IF_ERROR(ProveOwnPrograms());
    return predecessor_.Retire();
  };
  const absl::Status done = run();
  takeover_problem_ = done.ok() ? std::string() : std::string(done.message());
  if (done.ok()) LogInfo("took over from an earlier sensor without a gap", {{"left", name}});
}

// That a probe is refused proves nothing while the predecessor's wall is up: ours has to count it as refused by itself.
absl::Status KernelDatapath::ProveOwnPrograms() {
  ASSIGN_OR_RETURN(const std::vector<std::string> repaired, programs_.Repair());
  if (!repaired.empty()) return absl::UnavailableError(repaired.front());
  if (probe_plan_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t before, DeniedCalls(maps_.count));
  for (const ActiveProbe& probe : Prove()) {
    if (!probe.passed && probe.required) return absl::UnavailableError(absl::StrCat(probe.name, ": ", probe.detail));
  }
  ASSIGN_OR_RETURN(const uint64_t after, DeniedCalls(maps_.count));
  return after > before ? absl::OkStatus() : absl::UnavailableError("the new programs counted no probe as refused");
}

// The set is in force already, so a failure here is reported and does not undo it: the wall drops what the sockets
// send.
void KernelDatapath::DestroyForbidden() {
  if (!state_.has_wall()) return;
  const absl::StatusOr<uint32_t> destroyed = walker_.DestroyForbidden();
  if (destroyed.ok()) {
    sockets_destroyed_ += *destroyed;
  } else {
    socket_problem_ =
        absl::StrCat("forbidden connections were not destroyed, only cut: ", destroyed.status().message());
  }
  EndWhatWorksPast();
}

std::vector<ActiveProbe> KernelDatapath::Prove() {
  if (probe_plan_.empty()) return {};
  std::vector<ActiveProbe> probes;
  const bool whole = std::any_of(state_.policies.begin(), state_.policies.end(),
                                 [](const Policy& policy) { return !policy.scope.has_value() && Cuts(policy); });
  if (whole) probes = RunWallProbes(probe_plan_, scope_.path);
  for (const ScopedWalls::Wall& wall : scoped_.all()) {
    if (!Cuts(wall.policy)) continue;
    const std::vector<ActiveProbe> inside =
        wall.present
            ? RunScopedProbes(probe_plan_, *wall.cgroup)
            : std::vector<ActiveProbe>{{"wall_drops", false, absl::StrCat("not probed: ", wall.problem), false}};
    probes.insert(probes.end(), inside.begin(), inside.end());
  }
  return probes;
}

// ---- sensor/kernel/kernel.h ----

absl::StatusOr<std::unique_ptr<Datapath>> OpenDatapath(const DatapathOptions& options) {
  return KernelDatapath::Open(options);
}

std::string HostPinDirectory(const std::string& bpffs) {
  return *PinDirectory(bpffs, "", Scope{});  // cannot fail: the host's key is a constant
}

std::string HostRuleSetDirectory(const std::string& bpffs) {
  return LayoutDirectory(HostPinDirectory(bpffs));
}

absl::Status RemoveDatapath(const DatapathOptions& options) {
  ASSIGN_OR_RETURN(const Scope scope, ResolveScope(options.scope));
  ASSIGN_OR_RETURN(const std::string directory, PinDirectory(options.bpffs, options.pin_key, scope));
  RETURN_IF_ERROR(LiftEverything(directory));
  if (scope.is_host()) InterfaceWall::Remove(PhysicalInterfaces());
  return RemovePins(directory);
}

absl::Status RemoveIdleDatapath(const DatapathOptions& options) {
  ASSIGN_OR_RETURN(const Scope scope, ResolveScope(options.scope));
  ASSIGN_OR_RETURN(const std::string directory, PinDirectory(options.bpffs, options.pin_key, scope));
  const absl::StatusOr<BpfMap> word = BpfMap::OpenPinned(absl::StrCat(LayoutDirectory(directory), "/bh_active"));
  RETURN_IF_ERROR(word.status());
  ASSIGN_OR_RETURN(const uint32_t active, word->Get<uint32_t>(kZero));
  if (active != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Predecessor predecessor, Predecessor::Find(directory));
  if (!predecessor.present()) return RemoveDatapath(options);
  return RemovePins(LayoutDirectory(directory));
}

}  // namespace bulkhead::sensor
