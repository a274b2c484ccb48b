// One WatchRollout call: the rollout as it is, then each change, until it has ended.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "controlplane/api/watcher.h"

namespace bulkhead::controlplane {

class WatchHub;

// Remembers only that something changed, and reads the rollout once the caller has taken the answer before: a slow
// caller sees the latest state and delays nobody.
class RolloutWatcher final : public Watcher, public std::enable_shared_from_this<RolloutWatcher> {
 public:
  RolloutWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller, std::shared_ptr<StreamSession> stream);

  void OnMessage(std::string bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnPeerDone() override {}
  void OnDrained() override { Wake(); }
  void OnEnded() override;
  void OnChange(const std::string& changed) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnSweep() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Wake();
  // On the worker.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Send(const std::string& rollout_id) ABSL_LOCKS_EXCLUDED(mutex_);

  WatchHub* const hub_;
  Strand strand_;

  absl::Mutex mutex_;
  std::string rollout_id_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the last answer, here or in an earlier watch: the hash of what was shown. So it is never too old, and means the
  // same at every replica.
  std::string token_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::controlplane
