// One WatchEvents call: events in the order in which they are stored, from wherever the caller left off.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/api/watcher.h"
#include "controlplane/domain/event.h"

namespace bulkhead::controlplane {

class WatchHub;

// Reads the next events once the caller has taken those before, so a slow caller holds nothing but its place.
class EventWatcher final : public Watcher, public std::enable_shared_from_this<EventWatcher> {
 public:
  EventWatcher(const ApiContext* api, WatchHub* hub, const Caller& caller, std::shared_ptr<StreamSession> stream);

  void OnMessage(std::string bytes) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnPeerDone() override {}
  void OnDrained() override;
  void OnEnded() override;
  void OnChange(const std::string& changed) override;
  void OnSweep() override;

 private:
  void Wake();
  // On the worker.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Begin(const std::string& bytes);
  absl::Status SendNext();
  std::string Token() const;

  WatchHub* const hub_;
  Strand strand_;

  absl::Mutex mutex_;
  std::string request_ ABSL_GUARDED_BY(mutex_);
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;

  // On the worker only.
  bool begun_ = false;
  EventFilter filter_;
  EventCursor cursor_;
  absl::Time next_token_ = absl::InfinitePast();
};

}  // namespace bulkhead::controlplane
