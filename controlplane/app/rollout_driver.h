// The thread that carries rollouts on, at every replica.
#pragma once

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/orders/orders.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// Not in Server::Maintain, like the sweep over leases, because a rollout may give orders for seconds on end and the
// replica's own lease must not wait for it. Thread safe.
class RolloutDriver {
 public:
  // `store` outlives it.
  RolloutDriver(Store* store, orders::RolloutOrderer give);
  ~RolloutDriver() { Stop(); }

  // Some rollout was created or changed: look now. Never blocks.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns once the pass that runs has ended. May be called again, from one thread.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: the end was asked for.
  bool Wait(absl::Duration longest) ABSL_LOCKS_EXCLUDED(mutex_);
  bool WokenOrStops() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return woken_ || stopping_; }

  Store* const store_;
  const orders::RolloutOrderer give_;
  absl::Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
