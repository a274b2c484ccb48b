// What is told of sensor streams, for whoever counts.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// Called on workers: must not block.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  virtual void OnHeartbeat() = 0;
  // The first receipt for a policy was stored, so long after the order was accepted, by the database's clock.
  virtual void OnEnforced(PolicyTemplate policy_template, absl::Duration since_order) = 0;
  // What the kernels of sensors counted since they were last asked: packets dropped, and hooks that could not do their
  // work.
  virtual void OnKernelCounters(uint64_t drops, uint64_t failures) = 0;
  // A sweep over the streams ended; so many had missed something.
  virtual void OnSweep(size_t stale) = 0;
};

}  // namespace bulkhead::controlplane
