// Reads from the database, now and then, what monitoring shows of the fleet.
#pragma once

#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/pause.h"
#include "controlplane/metrics/metrics.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// A thread of its own: whoever asks for /metrics gets what was read last and costs the database nothing, and a database
// that hangs delays neither them nor the replica's lease. Every replica reads; the figures are the same. Thread safe.
class FleetReader {
 public:
  // None is owned; all outlive it.
  FleetReader(Store* store, Metrics* metrics, const Clock* clock, absl::Duration heartbeat_interval);
  ~FleetReader() { Stop(); }

  // Returns once the reading in progress has ended. May be called again, from one thread.
  void Stop();

 private:
  void Loop();
  absl::Status Read();

  Store* const store_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const absl::Duration heartbeat_interval_;
  Pause pause_;
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
