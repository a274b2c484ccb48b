// Upkeep, twice a second: what others changed is put back, what moved (addresses, files, cgroups) is followed.
#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bulkhead/decide_net.h"
#include "common/status_macros.h"
#include "sensor/kernel/endpoints.h"
#include "sensor/kernel/kernel_datapath.h"
#include "sensor/kernel/lease_clock.h"
#include "sensor/kernel/overlay_layout.h"
#include "sensor/kernel/tcp_peers.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kZero = 0;
constexpr int kListProcessesEvery = 20;  // rounds of Maintain, which comes twice a second
// A wall that is restored at boot is there before the gateways are.
constexpr uint64_t kNetworkSettlesNs = 300'000'000'000;  // since the kernel started
constexpr int kCompareLargeEvery = 20;
constexpr size_t kSmallSet = 8192;  // elements: read back from the kernel and compared in a millisecond or two

}  // namespace

absl::Status KernelDatapath::SetControlPlane(const std::vector<ControlPlaneEndpoint>& endpoints) {
  ASSIGN_OR_RETURN(control_plane_, ToEndpoints(endpoints));
  return RefreshAddresses(nullptr);
}

absl::Status KernelDatapath::RefreshAddresses(std::vector<std::string>* repaired) {
  ASSIGN_OR_RETURN(const std::vector<bh_endpoint> present, maps_.control_plane.Keys<bh_endpoint>());
  std::vector<bh_endpoint> wanted = control_plane_;
  const bool superfluous =
      std::any_of(present.begin(), present.end(), [&](const auto& e) { return !Holds(wanted, e); });
  if (superfluous && repaired == nullptr) {
    // A connection to an address that was dropped from the list goes on until it ends by itself.
    const std::vector<bh_endpoint> live = TcpPeers();
    for (const bh_endpoint& endpoint : present) {
      if (!Holds(wanted, endpoint) && Holds(live, endpoint)) wanted.push_back(endpoint);
    }
    control_plane_ = wanted;
  }
  ASSIGN_OR_RETURN(const size_t changed, maps_.control_plane.SetKeys(wanted));
  if (repaired != nullptr && changed > 0) {
    repaired->push_back("addresses of the control plane were changed by somebody else: put back");
  }
  ASSIGN_OR_RETURN(const std::vector<bh_endpoint> own, OwnAddresses());
  RETURN_IF_ERROR(maps_.local.SetKeys(own).status());
  const std::vector<std::string> fresh = interfaces_.Follow(own, wanted);
  if (repaired != nullptr && HostWallStands()) repaired->insert(repaired->end(), fresh.begin(), fresh.end());
  return absl::OkStatus();
}

absl::Status KernelDatapath::RefreshBlockedFiles() {
  if (blocked_.size() == 0 || !blocked_.Refresh(identifier())) return absl::OkStatus();
  RETURN_IF_ERROR(store_.ReplaceFound(Found(blocked_, lists_)));
  runners_due_ = true;
  return absl::OkStatus();
}

std::map<std::string, std::set<uint32_t>> KernelDatapath::FindUnlisted() {
  const bool mappings = probed_.Has("lsm_mmap_file") || probed_.Has("fmod_ret_mmap_file");
  UnlistedFiles files(identifier(), mappings, &running_contents_);
  return lists_.FindUnlisted(&files);
}

absl::Status KernelDatapath::RefreshRunners() {
  const auto unlisted = [this] { return FindUnlisted(); };
  if (std::exchange(runners_due_, false)) {
    return runners_.Kill(state_, std::exchange(started_lists_, {}), unlisted, maps_.stops);
  }
  return rounds_ % kListProcessesEvery == 0 && runners_.any() ? runners_.List(state_, unlisted) : absl::OkStatus();
}

// The same generation with other cgroups: the set is published anew, so that no packet sees a mixture.
absl::Status KernelDatapath::RefreshScopes() {
  if (!applied_ || scoped_.all().empty()) return absl::OkStatus();
  ScopedWalls scoped = scoped_;
  const ScopedWalls::Changes changes = scoped.Refresh();
  if (changes.for_kernel) {
    BlockedFiles blocked = blocked_;
    AllowLists lists = lists_;
    ASSIGN_OR_RETURN(const std::optional<bh_config> before, store_.ReadConfig());
    ASSIGN_OR_RETURN(RuleSet set, Compile(state_, scoped, &blocked, &lists));
    set.config.enforced_at = before.has_value() ? before->enforced_at : absl::ToUnixNanos(absl::Now());
    RETURN_IF_ERROR(store_.Publish(set));
    blocked_ = std::move(blocked);
    lists_ = std::move(lists);
  }
  scoped_ = std::move(scoped);
  scope_moves_.insert(scope_moves_.end(), changes.moves.begin(), changes.moves.end());
  return absl::OkStatus();
}

absl::Status KernelDatapath::RefreshAllowLists() {
  if (lists_.size() == 0) return absl::OkStatus();
  const ListRules before = lists_.lists();
  if (lists_.Refresh(identifier(), scope_, list_abilities())) {
    RETURN_IF_ERROR(store_.ReplaceFound(Found(blocked_, lists_)));
    started_lists_.merge(StartedLists(before, lists_.lists()));
    runners_due_ = true;
  }
  return learned_.Refresh(maps_.learned, identifier(), lists_.Learning());
}

bool KernelDatapath::HostWallStands() const {
  if (!scope_.is_host()) return false;
  const absl::StatusOr<std::optional<bh_config>> config = store_.ReadConfig();
  return config.ok() && config->has_value() && bh_enforced_wall(&**config, BootNanoseconds()) != BH_NO_WALL;
}

void KernelDatapath::EndWhatWorksPast() {
  if (!state_.has_wall()) return;
  ring_holders_.Close();
  // The kernel as a whole belongs to no scope: the host's own wall counts.
  if (!HostWallStands()) return;
  kernel_senders_.Close();
  interfaces_.ClearTheWay();
}

// The module may be loaded at any time. From then on a file has another identity, so all are identified anew.
absl::Status KernelDatapath::RefreshOverlayLayout() {
  ASSIGN_OR_RETURN(const bh_overlay found, maps_.overlay.Get<bh_overlay>(kZero));
  if (found.known != 0) return absl::OkStatus();
  const bh_overlay layout = ReadOverlayLayout();
  if (layout.known == 0) return absl::OkStatus();
  blocked_.ForgetWitnesses();
  lists_.ForgetWitnesses();
  return maps_.overlay.Update(&kZero, &layout);
}

absl::Status KernelDatapath::RepairHostFacts(std::vector<std::string>* repaired) {
  ASSIGN_OR_RETURN(const bh_host found, maps_.host.Get<bh_host>(kZero));
  if (std::memcmp(&found, &host_, sizeof(found)) == 0) return absl::OkStatus();
  RETURN_IF_ERROR(maps_.host.Update(&kZero, &host_));
  repaired->push_back("the scope in the kernel was changed by somebody else: put back");
  return absl::OkStatus();
}

// A round after the filters are there, so that connections that were being opened meanwhile count as others'.
absl::Status KernelDatapath::TrustArrivals() {
  if (host_.arrivals != 0 || !interfaces_.guards()) return absl::OkStatus();
  host_.arrivals = 1;
  return maps_.host.Update(&kZero, &host_);
}

absl::StatusOr<std::vector<std::string>> KernelDatapath::Maintain() {
  std::vector<std::string> repaired;
  const auto run = [this, &repaired]() -> absl::Status {
    ASSIGN_OR_RETURN(repaired, programs_.Repair());
    RETURN_IF_ERROR(RepairHostFacts(&repaired));
    RETURN_IF_ERROR(TrustArrivals());
    const std::vector<std::string> frames = frames_.Repair();
    repaired.insert(repaired.end(), frames.begin(), frames.end());
    const std::vector<std::string> interfaces = interfaces_.Repair();
    repaired.insert(repaired.end(), interfaces.begin(), interfaces.end());
    const bool compare = applied_ && (blocked_.found_size() <= kSmallSet || rounds_ % kCompareLargeEvery == 0);
    ASSIGN_OR_RETURN(const std::vector<std::string> sets,
                     store_.Repair(compare ? std::make_optional(Found(blocked_, lists_)) : std::nullopt));
    repaired.insert(repaired.end(), sets.begin(), sets.end());
    RETURN_IF_ERROR(RefreshAddresses(&repaired));
    RETURN_IF_ERROR(RefreshOverlayLayout());
    if (++rounds_ % kListProcessesEvery == 0) EndWhatWorksPast();
    if (rounds_ % kListProcessesEvery == 0 && BootNanoseconds() < kNetworkSettlesNs) interfaces_.TakeNeighbours();
    RETURN_IF_ERROR(RefreshBlockedFiles());
    RETURN_IF_ERROR(RefreshScopes());
    RETURN_IF_ERROR(RefreshAllowLists());
    RETURN_IF_ERROR(RefreshRunners());
    TakeOver();
    return store_.PrepareIdleSlot();
  };
  const absl::Status done = run();
  drift_repairs_ += repaired.size();
  repair_problem_ = done.ok() ? std::string() : std::string(done.message());
  RETURN_IF_ERROR(done);
  return repaired;
}

}  // namespace bulkhead::sensor
