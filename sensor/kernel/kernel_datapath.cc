// Opening, applying and maintaining; observing is in kernel_observer.cc.
#include "sensor/kernel/kernel_datapath.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/kernel/endpoint_map.h"
#include "sensor/kernel/found_file.h"
#include "sensor/kernel/interfaces/physical_interfaces.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/libbpf_log.h"
#include "sensor/kernel/needed_files.h"
#include "sensor/kernel/overlay_layout.h"
#include "sensor/kernel/pins.h"
#include "sensor/kernel/policy_stats.h"
#include "sensor/kernel/shadow_list.h"
#include "sensor/kernel/tcp_peers.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kZero = 0;
constexpr int kListRunnersEvery = 10;  // rounds of Maintain, which comes once a second

uint8_t WallMode(const Policy* policy) {
  if (policy == nullptr) return BH_WALL_OFF;
  return policy->action == PolicyAction::kNotify ? BH_WALL_SHADOW : BH_WALL_ENFORCE;
}

bool Contains(const std::vector<bh_endpoint>& endpoints, const bh_endpoint& wanted) {
  return std::any_of(endpoints.begin(), endpoints.end(),
                     [&wanted](const auto& e) { return std::memcmp(&e, &wanted, sizeof(e)) == 0; });
}

std::vector<std::string> PolicyIds(const DesiredState& state) {
  std::vector<std::string> ids;
  for (const Policy& policy : state.policies) ids.push_back(policy.id);
  return ids;
}

// Asked before anything is loaded: maps of another layout cannot be taken over, and what the kernel says about that
// helps nobody.
absl::Status CheckAbi(const std::string& directory) {
  const absl::StatusOr<BpfMap> host = BpfMap::OpenPinned(absl::StrCat(directory, "/bh_host"));
  if (absl::IsNotFound(host.status())) return absl::OkStatus();
  RETURN_IF_ERROR(host.status());
  ASSIGN_OR_RETURN(const bh_host found, host->Get<bh_host>(kZero));
  if (found.abi == 0 || found.abi == BH_ABI_VERSION) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "what is pinned at ", directory, " was left by a sensor with layout ", found.abi, ", this one has ",
      BH_ABI_VERSION,
      "; enforcement goes on. Release the host and run uninstall with the sensor that left it, then start this one"));
}

absl::Status Needed(const NeededFile& file, absl::string_view subject) {
  return absl::FailedPreconditionError(
      absl::StrCat(subject, " is ", file.what, " (", file.path, "): ",
                   file.own ? "blocking it would lock the sensor out, so it is refused also when forced"
                            : "without it this host may not work or boot; order it with force to block it all the same",
                   ". Until this policy is deleted the host keeps what was in force before"));
}

// Would this block break the host? A file that is not there yet cannot be told.
absl::Status CheckBlock(const Policy& policy, const NeededFiles& needed) {
  if (!policy.binary_sha256.empty()) {
    const NeededFile* what = needed.FindContent(policy.binary_sha256);
    if (what != nullptr && (what->own || !policy.forced)) return Needed(*what, "the content of that SHA-256");
  }
  if (policy.binary_path.empty()) return absl::OkStatus();
  const absl::StatusOr<FoundFile> file = FoundFile::Open(policy.binary_path);
  if (absl::IsFailedPrecondition(file.status())) return file.status();
  if (!file.ok()) return absl::OkStatus();
  const absl::StatusOr<FileContent> content = file->Read();
  const NeededFile* what = needed.Find(*file, content.value_or(FileContent()));
  if (what == nullptr || (policy.forced && !what->own)) return absl::OkStatus();
  return Needed(*what, policy.binary_path);
}

absl::Status RequireTier(Tier tier, absl::string_view what) {
  if (tier != Tier::kNone) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this kernel has no hook for ", what, "; see the sensor's mechanisms"));
}

}  // namespace

KernelDatapath::KernelDatapath(Scope scope, std::string directory, UniqueFd lock, ProbeResult probed, Programs programs,
                               RuleSetStore store, SocketWalker walker)
    : scope_(std::move(scope)),
      directory_(std::move(directory)),
      lock_(std::move(lock)),
      probed_(std::move(probed)),
      programs_(std::move(programs)),
      store_(std::move(store)),
      walker_(std::move(walker)),
      frames_(directory_),
      interfaces_(directory_, scope_.is_host()),
      runners_(programs_.Find("bh_running"), scope_) {
  probed_.capabilities.mechanisms.push_back(frames_.mechanism());
  probed_.capabilities.mechanisms.push_back(interfaces_.mechanism());
}

absl::StatusOr<std::unique_ptr<Datapath>> KernelDatapath::Open(const DatapathOptions& options) {
  CaptureLibbpfLog();
  ASSIGN_OR_RETURN(Scope scope, ResolveScope(options.scope));
  RETURN_IF_ERROR(EnsureBpffs(options.bpffs));
  EnsureTracefs();
  ASSIGN_OR_RETURN(const std::string directory, PinDirectory(options.bpffs, options.pin_key, scope));
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(UniqueFd lock, LockDirectory(directory));
  RETURN_IF_ERROR(CheckAbi(directory));
  ASSIGN_OR_RETURN(ProbeResult probed, ProbeKernel());
  std::set<std::string> wanted = probed.programs;
  wanted.insert({"bh_file_id", "bh_running"});
  ASSIGN_OR_RETURN(Programs programs, Programs::Load(directory, scope, wanted));
  ASSIGN_OR_RETURN(RuleSetStore store, RuleSetStore::Open(directory));
  ASSIGN_OR_RETURN(SocketWalker walker, SocketWalker::Open(directory, scope));
  std::unique_ptr<KernelDatapath> datapath(new KernelDatapath(std::move(scope), directory, std::move(lock),
                                                              std::move(probed), std::move(programs), std::move(store),
                                                              std::move(walker)));
  RETURN_IF_ERROR(datapath->OpenMaps());
  RETURN_IF_ERROR(datapath->WriteHostFacts(options.sensor_cgroup));
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
  return maps_.host.Update(&kZero, &host_);
}

absl::Status KernelDatapath::CheckSupported(const DesiredState& state) const {
  if (state.policies.size() > BH_MAX_POLICIES) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", BH_MAX_POLICIES, " policies"));
  }
  for (const Policy& policy : state.policies) {
    if (policy.policy_template == PolicyTemplate::kNetworkContainment) {
      RETURN_IF_ERROR(RequireTier(capabilities().containment, "network containment"));
    } else if (policy.policy_template == PolicyTemplate::kNetworkIsolation) {
      RETURN_IF_ERROR(RequireTier(capabilities().isolation, "network isolation"));
    } else {
      RETURN_IF_ERROR(RequireTier(capabilities().block_binary, "blocking binaries"));
      const std::string& path = policy.binary_path;
      const bool content_only = path.empty() && policy.binary_sha256.size() == BH_DIGEST_BYTES;
      if (!content_only && (path.empty() || path[0] != '/' || path.size() >= BH_PATH_BYTES)) {
        return absl::InvalidArgumentError(absl::StrCat("policy ", policy.id, ": path \"", policy.binary_path,
                                                       "\" is not absolute or longer than 4095 bytes"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<KernelDatapath::Leases> KernelDatapath::KnownLeases(const DesiredState& state) const {
  Leases known;
  const absl::StatusOr<std::optional<bh_config>> read = store_.ReadConfig();
  if (!read.ok() || !read->has_value()) return known;
  const bh_config& config = **read;
  const bool same = config.generation == state.generation &&
                    std::memcmp(config.digest, state.digest.data(), sizeof(config.digest)) == 0;
  if (!same) return known;
  known.emplace_back(config.contain_policy, config.contain_expires);
  known.emplace_back(config.isolate_policy, config.isolate_expires);
  ASSIGN_OR_RETURN(const PathRules paths, store_.ReadPaths());
  for (const auto& [path, rule] : paths) known.emplace_back(rule.policy, rule.expires);
  ASSIGN_OR_RETURN(const FoundRules found, store_.ReadFound());
  for (const auto& [digest, rule] : found.digests) known.emplace_back(rule.rule.policy, rule.rule.expires);
  return known;
}

uint64_t KernelDatapath::ExpiryOf(const Policy& policy, const Leases& known) {
  if (!policy.expires_at.has_value() || policy.on_expiry == OnExpiry::kHold) return 0;
  const bh_policy_key key = PolicyKey(policy.id);
  for (const auto& [known_key, expires] : known) {
    if (expires != 0 && std::memcmp(&known_key, &key, sizeof(key)) == 0) return expires;
  }
  return ToBootNanoseconds(*policy.expires_at);
}

absl::Status KernelDatapath::CheckBlocks(const DesiredState& state, const DesiredState& in_force) {
  std::optional<NeededFiles> needed;
  for (const Policy& policy : state.policies) {
    const bool known = std::any_of(in_force.policies.begin(), in_force.policies.end(),
                                   [&policy](const Policy& other) { return other.id == policy.id; });
    if (policy.policy_template != PolicyTemplate::kBlockBinary || known) continue;
    if (!needed.has_value()) needed = NeededFiles::OfThisHost();
    RETURN_IF_ERROR(Annotate(CheckBlock(policy, *needed), absl::StrCat("policy ", policy.name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<RuleSet> KernelDatapath::Compile(const DesiredState& state, BlockedFiles* blocked) const {
  RuleSet set;
  const Policy* contain = state.Find(PolicyTemplate::kNetworkContainment);
  const Policy* isolate = state.Find(PolicyTemplate::kNetworkIsolation);
  ASSIGN_OR_RETURN(const Leases leases, KnownLeases(state));
  set.config.generation = state.generation;
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
    ASSIGN_OR_RETURN(set.network, CompileRules(state.isolation_rules));
  }
  ASSIGN_OR_RETURN(const FoundRules adopted, store_.ReadFound());
  blocked->Reset(state, adopted, [&leases](const Policy& policy) { return ExpiryOf(policy, leases); });
  blocked->Refresh(identifier());
  if (blocked->size() > 0) blocked->AddRunningCopies(identifier(), scope_);
  set.paths = blocked->paths();
  set.found = blocked->found();
  const FoundRules& found = set.found;
  if (std::max({found.files.size(), found.digests.size(), found.prints.size()}) > BH_MAX_EXEC_ENTRIES) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", BH_MAX_EXEC_ENTRIES, " blocked files"));
  }
  set.config.exec_content = blocked->content_flags(probed_.Has("exec_digest"));
  set.config.exec_policies = blocked->size();
  return set;
}

absl::Status KernelDatapath::Apply(const DesiredState& state) {
  const absl::Time start = absl::Now();
  RETURN_IF_ERROR(CheckSupported(state));
  BlockedFiles blocked = blocked_;
  ASSIGN_OR_RETURN(RuleSet set, Compile(state, &blocked));
  RETURN_IF_ERROR(AddPolicyStats(maps_.policies, PolicyIds(state)));
  set.config.enforced_at = absl::ToUnixNanos(absl::Now());
  RETURN_IF_ERROR(store_.Publish(set));
  blocked_ = std::move(blocked);
  state_ = state;
  applied_ = true;
  apply_time_ = absl::Now() - start;
  probe_plan_ = PlanWallProbes(state, probed_.Has("cgroup_connect"));
  sockets_destroyed_ = 0;
  socket_problem_.clear();
  RETURN_IF_ERROR(RemoveOtherCuts(maps_.cuts, PolicyIds(state)));
  const absl::Status killed = blocked_.size() > 0 ? runners_.Kill(state, maps_.stops) : runners_.List(state);
  runner_problem_ = killed.ok() ? std::string() : std::string(killed.message());
  return RemoveOtherPolicyStats(maps_.policies, PolicyIds(state));
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
}

absl::Status KernelDatapath::SetControlPlane(const std::vector<ControlPlaneEndpoint>& endpoints) {
  ASSIGN_OR_RETURN(control_plane_, ToEndpoints(endpoints));
  return RefreshAddresses(nullptr);
}

absl::Status KernelDatapath::RefreshAddresses(std::vector<std::string>* repaired) {
  ASSIGN_OR_RETURN(const std::vector<bh_endpoint> present, maps_.control_plane.Keys<bh_endpoint>());
  std::vector<bh_endpoint> wanted = control_plane_;
  const bool superfluous =
      std::any_of(present.begin(), present.end(), [&](const auto& e) { return !Contains(wanted, e); });
  if (superfluous && repaired == nullptr) {
    // A connection to an address that was dropped from the list goes on until it ends by itself.
    const std::vector<bh_endpoint> live = TcpPeers();
    for (const bh_endpoint& endpoint : present) {
      if (!Contains(wanted, endpoint) && Contains(live, endpoint)) wanted.push_back(endpoint);
    }
    control_plane_ = wanted;
  }
  ASSIGN_OR_RETURN(const size_t changed, SetEndpoints(maps_.control_plane, wanted));
  if (repaired != nullptr && changed > 0) {
    repaired->push_back("addresses of the control plane were changed by somebody else: put back");
  }
  ASSIGN_OR_RETURN(const std::vector<bh_endpoint> own, OwnAddresses());
  return SetEndpoints(maps_.local, own).status();
}

absl::Status KernelDatapath::RefreshBlockedFiles() {
  if (blocked_.size() == 0) return absl::OkStatus();
  if (blocked_.Refresh(identifier())) {
    RETURN_IF_ERROR(store_.ReplaceFound(blocked_.found()));
    RETURN_IF_ERROR(runners_.Kill(state_, maps_.stops));
  } else if (++rounds_ % kListRunnersEvery == 0 && runners_.any()) {
    RETURN_IF_ERROR(runners_.List(state_));
  }
  return absl::OkStatus();
}

// The module may be loaded at any time. From then on a file has another identity, so all are identified anew.
absl::Status KernelDatapath::RefreshOverlayLayout() {
  ASSIGN_OR_RETURN(const bh_overlay found, maps_.overlay.Get<bh_overlay>(kZero));
  if (found.known != 0) return absl::OkStatus();
  const bh_overlay layout = ReadOverlayLayout();
  if (layout.known == 0) return absl::OkStatus();
  blocked_.ForgetWitnesses();
  return maps_.overlay.Update(&kZero, &layout);
}

absl::Status KernelDatapath::RepairHostFacts(std::vector<std::string>* repaired) {
  ASSIGN_OR_RETURN(const bh_host found, maps_.host.Get<bh_host>(kZero));
  if (std::memcmp(&found, &host_, sizeof(found)) == 0) return absl::OkStatus();
  RETURN_IF_ERROR(maps_.host.Update(&kZero, &host_));
  repaired->push_back("the scope in the kernel was changed by somebody else: put back");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> KernelDatapath::Maintain() {
  std::vector<std::string> repaired;
  const auto run = [this, &repaired]() -> absl::Status {
    ASSIGN_OR_RETURN(repaired, programs_.Repair());
    RETURN_IF_ERROR(RepairHostFacts(&repaired));
    const std::vector<std::string> frames = frames_.Repair();
    repaired.insert(repaired.end(), frames.begin(), frames.end());
    const std::vector<std::string> interfaces = interfaces_.Repair();
    repaired.insert(repaired.end(), interfaces.begin(), interfaces.end());
    ASSIGN_OR_RETURN(const std::vector<std::string> sets,
                     store_.Repair(applied_ ? std::make_optional(blocked_.found()) : std::nullopt));
    repaired.insert(repaired.end(), sets.begin(), sets.end());
    RETURN_IF_ERROR(RefreshAddresses(&repaired));
    RETURN_IF_ERROR(RefreshOverlayLayout());
    RETURN_IF_ERROR(RefreshBlockedFiles());
    return store_.PrepareIdleSlot();
  };
  const absl::Status done = run();
  drift_repairs_ += repaired.size();
  repair_problem_ = done.ok() ? std::string() : std::string(done.message());
  RETURN_IF_ERROR(done);
  return repaired;
}

// ---- sensor/kernel/kernel.h ----

absl::StatusOr<std::unique_ptr<Datapath>> OpenDatapath(const DatapathOptions& options) {
  return KernelDatapath::Open(options);
}

std::string HostPinDirectory(const std::string& bpffs) {
  return *PinDirectory(bpffs, "", Scope{});  // cannot fail: the host's key is a constant
}

absl::Status RemoveDatapath(const DatapathOptions& options) {
  ASSIGN_OR_RETURN(const Scope scope, ResolveScope(options.scope));
  ASSIGN_OR_RETURN(const std::string directory, PinDirectory(options.bpffs, options.pin_key, scope));
  // A program whose last pin goes is detached by the kernel some time later; with nothing published it does nothing at
  // once.
  const absl::StatusOr<BpfMap> active = BpfMap::OpenPinned(absl::StrCat(directory, "/bh_active"));
  if (active.ok()) RETURN_IF_ERROR(active->Update(&kZero, &kZero));
  if (scope.is_host()) InterfaceWall::Remove(PhysicalInterfaces());
  return RemovePins(directory);
}

}  // namespace bulkhead::sensor
