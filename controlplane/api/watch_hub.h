// Every WatchSensors call that this replica serves, and who tells them that something changed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/api/api_context.h"
#include "controlplane/api/sensor_watcher.h"

namespace bulkhead::controlplane {

// Thread safe. Owns one thread, which has every watcher look at all sensors now and then: what changes with time alone
// (offline), and what other replicas stored without a notification (heartbeats), is seen then.
class WatchHub {
 public:
  explicit WatchHub(ApiContext api);
  ~WatchHub();

  // Adds the row that serves SensorService.WatchSensors.
  void AddMethods(MethodTable& table);

  // `sensor_id` changed, or, empty, anything. Never blocks.
  void OnChange(const std::string& sensor_id) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends every watch with UNAVAILABLE and refuses new ones.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_);

  // From watchers: this one is over.
  void Remove(const SensorWatcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<std::shared_ptr<StreamHandler>> Open(const Caller& caller, std::shared_ptr<StreamSession> stream);
  void StopSweeping() ABSL_LOCKS_EXCLUDED(mutex_);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<SensorWatcher>> Watchers() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ApiContext api_;
  mutable absl::Mutex mutex_;
  std::map<const SensorWatcher*, std::shared_ptr<SensorWatcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  bool shutting_down_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread sweeper_;
};

}  // namespace bulkhead::controlplane
