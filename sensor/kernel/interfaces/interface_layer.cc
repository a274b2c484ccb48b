// Keeps one InterfaceWall up.
#include "sensor/kernel/interfaces/interface_layer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/log.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/interfaces/foreign_filters.h"
#include "sensor/kernel/interfaces/physical_interfaces.h"
#include "sensor/kernel/interfaces/xdp_programs.h"
#include "sensor/kernel/network_namespaces.h"

namespace bulkhead::sensor {
namespace {

constexpr int kLoopback = 1;  // its index in every network namespace: the kernel makes it first

}  // namespace

InterfaceLayer::InterfaceLayer(const std::string& pin_directory, bool host_wide)
    : directory_(pin_directory), host_wide_(host_wide) {
  if (!host_wide) {
    problem_ = "only for the whole host: an interface belongs to no cgroup";
    return;
  }
  absl::StatusOr<std::unique_ptr<InterfaceWall>> opened = InterfaceWall::Open(pin_directory, &PhysicalInterfaces);
  problem_ = std::string(opened.status().message());
  if (!opened.ok()) return;
  wall_ = *std::move(opened);
  absl::StatusOr<ResolutionLists> lists = ResolutionLists::Open(pin_directory);
  following_problem_ = std::string(lists.status().message());
  if (lists.ok()) lists_ = *std::move(lists);
  absl::StatusOr<InterfaceNews> news = InterfaceNews::Open();
  if (news.ok()) news_ = *std::move(news);
}

absl::Status InterfaceLayer::Attach() {
  if (wall_ == nullptr) return absl::OkStatus();
  attached_ = true;
  const absl::Status attached = wall_->Maintain().status();
  problem_ = ProblemAfter(attached);
  KeepHere();
  return attached;
}

// Where there is no frame wall nobody reads the map, and what is missing was told by that wall.
void InterfaceLayer::KeepHere() {
  moving_problem_.clear();
  const absl::StatusOr<BpfMap> map = BpfMap::OpenPinned(absl::StrCat(directory_, "/bh_f_guarded"));
  if (absl::IsNotFound(map.status())) return;
  std::vector<uint32_t> interfaces(wall_->guarded().begin(), wall_->guarded().end());
  const size_t all = interfaces.size();
  interfaces.resize(std::min<size_t>(all, BH_MAX_GUARDED));
  const absl::Status told = map.ok() ? map->SetKeys(interfaces).status() : map.status();
  if (!told.ok()) {
    moving_problem_ = std::string(told.message());
  } else if (all > BH_MAX_GUARDED) {
    moving_problem_ = absl::StrCat("of ", all, " interfaces only ", BH_MAX_GUARDED, " are kept");
  }
}

std::string InterfaceLayer::ProblemAfter(const absl::Status& status) const {
  if (!status.ok()) return std::string(status.message());
  return wall_->programs().empty() ? "this network namespace has no physical interface" : "";
}

Mechanism InterfaceLayer::mechanism() const {
  return {"tc_interfaces", problem_.empty(), problem_};
}

void InterfaceLayer::TakeNeighbours() {
  if (lists_.has_value()) lists_->TakeNeighbours(PhysicalInterfaces());
}

std::vector<std::string> InterfaceLayer::Follow(const std::vector<bh_endpoint>& own,
                                                const std::vector<bh_endpoint>& control_plane) {
  if (!lists_.has_value()) return {};
  absl::StatusOr<std::vector<std::string>> fresh = lists_->Follow(own, control_plane);
  following_problem_ = std::string(fresh.status().message());
  return fresh.ok() ? *std::move(fresh) : std::vector<std::string>();
}

void InterfaceLayer::Describe(ObservedState* observed) const {
  const bool walled = host_wide_ && (observed->contained || observed->isolated);
  if (walled && !problem_.empty()) {
    observed->degraded.push_back(
        absl::StrCat("packets that this host forwards or mirrors get past the wall: ", problem_));
  }
  if (walled && !moving_problem_.empty()) {
    observed->degraded.push_back(
        absl::StrCat("interfaces can be moved to another network namespace, where no wall is: ", moving_problem_));
  }
  if (walled && lists_.has_value() && !lists_->problem().empty()) {
    observed->degraded.push_back(absl::StrCat("ARP and neighbour discovery pass the wall unread: ", lists_->problem()));
  }
  if (walled && !following_problem_.empty()) {
    observed->degraded.push_back(
        absl::StrCat("the way to the control plane is not followed, and may get lost: ", following_problem_));
  }
  taken_.Describe(observed);
  if (wall_ == nullptr) return;
  const std::vector<AttachedProgram> programs = wall_->programs();
  observed->receipt.programs.insert(observed->receipt.programs.end(), programs.begin(), programs.end());
}

void InterfaceLayer::ClearTheWay() {
  if (!host_wide_) return;
  const size_t before = taken_.done.size();
  taken_.left.clear();
  const absl::Status first = wall_ == nullptr || !attached_ ? absl::OkStatus() : wall_->StandAlone(&taken_);
  const absl::Status walked = InEachNamespace(Scope(), [this] {
    DetachXdp(&taken_);
    // Everybody may send on loopback, so a filter there could make anything of it: a packet from outside, say.
    return TakeForeignFilters(kLoopback, "lo", std::nullopt, &taken_).status();
  });
  for (const absl::Status& status : {first, walked}) {
    if (!status.ok()) taken_.left.push_back(absl::StrCat("what others put before the wall: ", status.message()));
  }
  for (size_t i = before; i < taken_.done.size(); ++i) LogWarning(taken_.done[i], {});
}

std::vector<std::string> InterfaceLayer::Repair() {
  if (news_.has_value()) news_->Drain();  // before looking, so that what comes meanwhile is looked at again
  if (wall_ == nullptr || !attached_) return {};
  absl::StatusOr<std::vector<std::string>> repaired = wall_->Maintain();
  problem_ = ProblemAfter(repaired.status());
  KeepHere();
  return repaired.ok() ? *std::move(repaired) : std::vector<std::string>();
}

}  // namespace bulkhead::sensor
