// The thread that carries rollouts on, at every replica.
#pragma once

#include <thread>

#include "common/pause.h"
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
  void Wake() { pause_.Wake(); }
  // Returns once the pass that runs has ended. May be called again, from one thread.
  void Stop();

 private:
  void Loop();

  Store* const store_;
  const orders::RolloutOrderer give_;
  Pause pause_;
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
