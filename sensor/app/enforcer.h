// Brings desired states into the kernel and onto the disk, and reads back what is in force.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sensor/domain/datapath.h"
#include "sensor/domain/desired_state_check.h"
#include "sensor/domain/reconcile.h"
#include "sensor/store/desired_state_store.h"

namespace bulkhead::sensor {

// Not thread safe: used by the loop thread only.
class Enforcer {
 public:
  Enforcer(Datapath* datapath, DesiredStateStore* store) : datapath_(datapath), store_(store) {}

  // At start, before the network is used: enforces the stored state again. When there is none, or it cannot be used,
  // the kernel stays as it is and ObservedState::degraded says so.
  void Restore();

  // Checks, decides, stages, applies, commits. OK: the state is in force. Otherwise what was in force still is, and the
  // message says why, in words for an operator. A disk that cannot be written does not stop an order; it is reported as
  // degraded.
  absl::Status Accept(const DesiredState& incoming, const SensorFacts& facts);

  // The same for a state from a local file, whose generation says nothing about its age.
  absl::Status AcceptLocal(const DesiredState& incoming, const SensorFacts& facts);

  // Read back from the kernel, with the sensor's own problems added. When reading fails, `critical` says so.
  ObservedState Observe();

  // What was repaired, in words.
  std::vector<std::string> Maintain();

  // The last state that was enforced by this sensor; generation 0: none.
  const DesiredState& in_force() const { return in_force_; }

 private:
  bool KernelHas(const DesiredState& state);
  absl::Status ApplyAndStore(const DesiredState& state);

  Datapath* const datapath_;
  DesiredStateStore* const store_;
  Reconciler reconciler_;
  DesiredState in_force_;
  std::vector<std::string> start_problems_;  // found by Restore; gone once a state was applied
  std::string disk_problem_;                 // last failure to store; empty when the disk has what is in force
};

}  // namespace bulkhead::sensor
