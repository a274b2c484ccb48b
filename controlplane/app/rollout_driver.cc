// When to look at the rollouts.
#include "controlplane/app/rollout_driver.h"

#include <utility>

#include "common/log.h"

namespace bulkhead::controlplane {
namespace {

// What sensors report is not notified, so an open rollout is looked at often, and less often while it stands still (it
// waits for its hourly limit, or for sensors that are away).
constexpr absl::Duration kBusy = absl::Milliseconds(100);
constexpr absl::Duration kWaiting = absl::Milliseconds(500);
// As the other sweeps: makes a lost notification harmless.
constexpr absl::Duration kIdle = absl::Seconds(5);

}  // namespace

RolloutDriver::RolloutDriver(Store* store, orders::RolloutOrderer give)
    : store_(store), give_(std::move(give)), thread_([this] { Loop(); }) {}

void RolloutDriver::Stop() {
  pause_.Stop();
  if (thread_.joinable()) thread_.join();
}

void RolloutDriver::Loop() {
  absl::Duration pause = absl::ZeroDuration();
  while (pause_.For(pause)) {
    const absl::StatusOr<orders::RolloutPass> pass = orders::DriveRollouts(*store_, give_);
    if (!pass.ok()) LogWarning("rollouts not looked at", {{"error", pass.status().ToString()}});
    pause = !pass.ok() || !pass->open ? kIdle : pass->changed ? kBusy : kWaiting;
  }
}

}  // namespace bulkhead::controlplane
