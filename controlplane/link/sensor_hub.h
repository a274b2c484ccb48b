// Every sensor stream that this replica holds: who is told about a change, who must go, and how they all end at
// shutdown.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/pause.h"
#include "controlplane/link/heartbeat_batcher.h"
#include "controlplane/link/sensor_session.h"
#include "controlplane/rpc/method_table.h"

namespace bulkhead::controlplane {

// Thread safe. Owns one thread that ticks once every quarter of a second; all blocking work is left to the context's
// workers, which must be stopped after Shutdown and before the hub is destroyed.
class SensorHub {
 public:
  explicit SensorHub(LinkContext context);
  ~SensorHub();

  // Adds the row that serves SensorLinkService.Connect.
  void AddMethods(MethodTable& table);

  // A change was committed somewhere: `sensor_id`, or, empty, anything. Never blocks.
  void OnChange(const std::string& sensor_id) ABSL_LOCKS_EXCLUDED(mutex_);

  // Says goodbye to every sensor and refuses new ones; returns when their streams are over, or after `limit`.
  void Shutdown(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);

  // True once Shutdown was called.
  bool shutting_down() const ABSL_LOCKS_EXCLUDED(mutex_);

  // How many streams are open.
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Messages that wait to be written to all of them.
  size_t queued() const ABSL_LOCKS_EXCLUDED(mutex_);

  // From sessions: this one has said hello and is now the sensor's stream; an older one is told so and ends. False when
  // a newer one (by its epoch) is there already.
  bool Attach(const std::shared_ptr<SensorSession>& session) ABSL_LOCKS_EXCLUDED(mutex_);
  // From sessions: this one is over.
  void Detach(const SensorSession* session) ABSL_LOCKS_EXCLUDED(mutex_);
  // From sessions: takes heartbeats that can wait.
  HeartbeatBatcher& heartbeats() { return heartbeats_; }

 private:
  absl::StatusOr<std::shared_ptr<StreamHandler>> Open(const Caller& caller, std::shared_ptr<StreamSession> stream);
  void StopTicking() ABSL_LOCKS_EXCLUDED(mutex_);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Compares what is ordered, and who owns each sensor, with the streams that are here: makes a lost notification
  // harmless. One query for all of them.
  void Sweep() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<SensorSession>> Sessions() const ABSL_LOCKS_EXCLUDED(mutex_);

  const LinkContext context_;
  HeartbeatBatcher heartbeats_;
  mutable absl::Mutex mutex_;
  std::map<const SensorSession*, std::shared_ptr<SensorSession>> sessions_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<SensorSession>> by_sensor_ ABSL_GUARDED_BY(mutex_);
  // How many of sessions_ each sensor has.
  std::map<std::string, int> streams_of_ ABSL_GUARDED_BY(mutex_);
  bool shutting_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> sweeping_ = false;
  Pause pause_;     // between ticks
  Pause detached_;  // Shutdown waits for the last stream
  std::thread ticker_;
};

}  // namespace bulkhead::controlplane
