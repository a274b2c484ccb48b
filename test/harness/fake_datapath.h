// A kernel that remembers what it was told, and fails when a test says so. Thread safe, because tests look while a loop
// runs.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/unique_fd.h"
#include "sensor/domain/datapath.h"
#include "sensor/domain/process_killer.h"

namespace bulkhead::test {

class FakeDatapath : public sensor::Datapath {
 public:
  FakeDatapath() {
    capabilities_.isolation = sensor::Tier::kFull;
    capabilities_.mechanisms.push_back({"cgroup_skb", true, ""});
  }

  const sensor::Capabilities& capabilities() const override { return capabilities_; }

  std::vector<sensor::Refusal> Refusals(const sensor::DesiredState& state, const sensor::DesiredState&) override {
    absl::MutexLock lock(&mutex_);
    std::vector<sensor::Refusal> refusals;
    for (const sensor::Policy& policy : state.policies) {
      if (policy.binary_path == refused_path_ && !refused_path_.empty()) {
        refusals.push_back({policy.id, "this host needs it"});
      }
    }
    return refusals;
  }

  absl::Status Apply(const sensor::DesiredState& state) override {
    absl::MutexLock lock(&mutex_);
    ++applies_;
    if (!apply_result_.ok()) return apply_result_;
    state_ = state;
    older_sensor_ = false;
    return absl::OkStatus();
  }

  absl::Status SetControlPlane(const std::vector<sensor::ControlPlaneEndpoint>& endpoints) override {
    absl::MutexLock lock(&mutex_);
    endpoints_ = endpoints;
    return absl::OkStatus();
  }

  std::vector<sensor::ActiveProbe> Prove() override {
    absl::MutexLock lock(&mutex_);
    if (!state_.has_wall()) return {};
    return {{"connect_refused", true, "a fake connect: Operation not permitted", true}};
  }

  void DestroyForbidden() override {
    absl::MutexLock lock(&mutex_);
    ++destroyed_;
  }

  absl::StatusOr<sensor::ObservedState> Observe() override {
    absl::MutexLock lock(&mutex_);
    sensor::ObservedState observed;
    observed.receipt.generation = state_.generation;
    observed.receipt.digest = state_.digest;
    observed.receipt.enforced_at = absl::UnixEpoch();
    observed.contained = state_.contained();
    observed.isolated = state_.isolated();
    observed.older_sensor_in_force = older_sensor_;
    return observed;
  }

  absl::StatusOr<std::vector<std::string>> Maintain() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(repairs_, {});
  }

  std::vector<std::string> TakeScopeMoves() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(scope_moves_, {});
  }

  int interface_fd() const override { return interface_.get(); }

  std::vector<std::string> FollowInterfaces() override {
    absl::MutexLock lock(&mutex_);
    uint64_t count;
    (void)!read(interface_.get(), &count, sizeof(count));
    return std::exchange(followed_, {});
  }

  int event_fd() const override { return event_.get(); }

  std::vector<sensor::Event> DrainEvents(size_t) override {
    absl::MutexLock lock(&mutex_);
    uint64_t count;
    (void)!read(event_.get(), &count, sizeof(count));
    return std::exchange(events_, {});
  }

  // ---- For tests ----

  void FailApply(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    apply_result_ = std::move(status);
  }
  // From now on a block of this path is refused; empty: none is.
  void RefusePath(std::string path) {
    absl::MutexLock lock(&mutex_);
    refused_path_ = std::move(path);
  }
  // An interface appears, and following it repairs this.
  void AddInterface(std::string text) {
    absl::MutexLock lock(&mutex_);
    followed_.push_back(std::move(text));
    const uint64_t one = 1;
    (void)!write(interface_.get(), &one, sizeof(one));
  }
  void AddRepair(std::string text) {
    absl::MutexLock lock(&mutex_);
    repairs_.push_back(std::move(text));
  }
  void MoveScope(std::string text) {
    absl::MutexLock lock(&mutex_);
    scope_moves_.push_back(std::move(text));
  }
  void AddEvent(sensor::Event event) {
    absl::MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
    const uint64_t one = 1;
    (void)!write(event_.get(), &one, sizeof(one));
  }
  // Somebody else changed the kernel.
  void Tamper() {
    absl::MutexLock lock(&mutex_);
    state_ = {};
  }
  // An earlier sensor of another layout enforces something, until an Apply takes over.
  void LeaveOlderSensor() {
    absl::MutexLock lock(&mutex_);
    older_sensor_ = true;
  }
  sensor::DesiredState state() const {
    absl::MutexLock lock(&mutex_);
    return state_;
  }
  std::vector<sensor::ControlPlaneEndpoint> endpoints() const {
    absl::MutexLock lock(&mutex_);
    return endpoints_;
  }
  // How often sockets were destroyed.
  int destroyed() const {
    absl::MutexLock lock(&mutex_);
    return destroyed_;
  }
  int applies() const {
    absl::MutexLock lock(&mutex_);
    return applies_;
  }

 private:
  sensor::Capabilities capabilities_;
  const UniqueFd event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  const UniqueFd interface_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  mutable absl::Mutex mutex_;
  std::string refused_path_ ABSL_GUARDED_BY(mutex_);
  absl::Status apply_result_ ABSL_GUARDED_BY(mutex_);
  sensor::DesiredState state_ ABSL_GUARDED_BY(mutex_);
  std::vector<sensor::ControlPlaneEndpoint> endpoints_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> scope_moves_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> repairs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> followed_ ABSL_GUARDED_BY(mutex_);
  std::vector<sensor::Event> events_ ABSL_GUARDED_BY(mutex_);
  int applies_ ABSL_GUARDED_BY(mutex_) = 0;
  int destroyed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool older_sensor_ ABSL_GUARDED_BY(mutex_) = false;
};

// Kills nobody; counts.
class FakeKiller : public sensor::ProcessKiller {
 public:
  sensor::CommandResult Kill(const sensor::ProcessIdentity& process) override {
    absl::MutexLock lock(&mutex_);
    killed_.push_back(process.pid);
    return {sensor::CommandOutcome::kGone, "sleep 60", "SIGKILL was sent and the process ended"};
  }
  sensor::CommandResult KillAll(const sensor::KillGroup& group) override {
    absl::MutexLock lock(&mutex_);
    groups_.push_back(group);
    sensor::CommandResult result{sensor::CommandOutcome::kGone, "", "1 killed; 1 left alone"};
    result.group = {{1, 1, 0},
                    {{1, sensor::CommandOutcome::kRefused, "init", "pid 1 is never killed"},
                     {4242, sensor::CommandOutcome::kGone, "sleep 60", ""}}};
    return result;
  }
  std::vector<uint32_t> killed() const {
    absl::MutexLock lock(&mutex_);
    return killed_;
  }
  size_t groups_killed() const {
    absl::MutexLock lock(&mutex_);
    return groups_.size();
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<uint32_t> killed_ ABSL_GUARDED_BY(mutex_);
  std::vector<sensor::KillGroup> groups_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::test
