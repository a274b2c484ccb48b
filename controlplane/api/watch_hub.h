// Every watch call that this replica serves, and who tells them that something changed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/pause.h"
#include "controlplane/api/api_context.h"
#include "controlplane/api/watcher.h"

namespace bulkhead::controlplane {

// Thread safe. Owns one thread, which has every watcher look at everything now and then: what changes with time alone
// (offline), and what other replicas stored without a notification (heartbeats), is seen then.
class WatchHub {
 public:
  explicit WatchHub(ApiContext api);
  ~WatchHub();

  // Adds the rows that serve WatchSensors, WatchRollout and WatchEvents.
  void AddMethods(MethodTable& table);

  // What Store::Listen tells: a sensor or a rollout changed, or, empty, anything; or kEventsChange. Never blocks.
  void OnChange(const std::string& changed) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends every watch with UNAVAILABLE and refuses new ones.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_);

  // Watches that are open.
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  // From watchers: this one is over.
  void Remove(const Watcher* watcher) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<std::shared_ptr<StreamHandler>> Admit(std::shared_ptr<Watcher> watcher) ABSL_LOCKS_EXCLUDED(mutex_);
  void StopSweeping();
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Watcher>> Watchers() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ApiContext api_;
  mutable absl::Mutex mutex_;
  std::map<const Watcher*, std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  bool shutting_down_ ABSL_GUARDED_BY(mutex_) = false;
  Pause pause_;
  std::thread sweeper_;
};

}  // namespace bulkhead::controlplane
