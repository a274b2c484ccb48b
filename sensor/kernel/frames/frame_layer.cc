// Keeps one FrameWall alive.
#include "sensor/kernel/frames/frame_layer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {

FrameLayer::FrameLayer(std::string pin_directory) : directory_(std::move(pin_directory)) {
  Open();
}

void FrameLayer::Open() {
  absl::StatusOr<std::unique_ptr<FrameWall>> opened = FrameWall::Open(directory_);
  problem_ = opened.ok() ? std::string() : std::string(opened.status().message());
  if (opened.ok()) wall_ = *std::move(opened);
}

Mechanism FrameLayer::mechanism() const {
  Mechanism mechanism;
  mechanism.name = wall_ == nullptr ? "frames" : absl::StrCat("frames_", HookKindName(wall_->kind()));
  mechanism.available = problem_.empty();
  mechanism.reason = problem_;
  return mechanism;
}

void FrameLayer::Describe(ObservedState* observed) const {
  if (!problem_.empty() && (observed->contained || observed->isolated)) {
    observed->degraded.push_back(
        absl::StrCat("packet sockets, AF_XDP, vsock and tun devices get past the wall: ", problem_));
  }
  if (wall_ == nullptr) return;
  observed->receipt.programs.insert(observed->receipt.programs.end(), wall_->programs().begin(),
                                    wall_->programs().end());
  const absl::StatusOr<std::vector<Counter>> counters = wall_->Counters();
  if (counters.ok()) observed->counters.insert(observed->counters.end(), counters->begin(), counters->end());
}

std::vector<std::string> FrameLayer::Repair() {
  if (wall_ == nullptr) return {};  // this kernel never had it
  const absl::Status silent = wall_->Prove();
  if (silent.ok()) {
    problem_.clear();
    return {};
  }
  const bool known = !problem_.empty();
  Open();
  if (!problem_.empty()) return {};
  if (known) return {"the frame wall works again"};
  return {absl::StrCat("the frame wall was attached again: ", silent.message())};
}

}  // namespace bulkhead::sensor
