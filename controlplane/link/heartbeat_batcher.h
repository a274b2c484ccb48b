// Collects the heartbeats that say nothing new, of all streams of a replica, and has them stored many at a time.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/pause.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// Thread safe. Owns one thread, which stores what has come together after kHeartbeatDelay, or kMostInBatch if that is
// sooner. What is collected and not stored when the process is killed is lost, which is harmless: no sensor was
// answered for it, and each says the same again at its next heartbeat.
class HeartbeatBatcher {
 public:
  // Called once, on the batcher's thread; must not block.
  using Answer = std::function<void(absl::StatusOr<OrderedState> ordered)>;

  explicit HeartbeatBatcher(Store* store) : store_(store), writer_([this] { Loop(); }) {}
  ~HeartbeatBatcher() { Stop(); }

  // Once it is stopped, the answer comes at once and is Unavailable.
  void Add(PlainHeartbeat heartbeat, Answer answer) ABSL_LOCKS_EXCLUDED(mutex_);

  // Stores what is collected, then ends. May be called again.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    PlainHeartbeat heartbeat;
    Answer answer;
  };

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // What there is, up to a batch; empty: stopped, and nothing is left.
  std::vector<Entry> NextBatch() ABSL_LOCKS_EXCLUDED(mutex_);
  void StoreBatch(std::vector<Entry> batch);
  bool HasSome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); }

  Store* const store_;
  absl::Mutex mutex_;
  std::vector<Entry> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Pause collect_;  // woken when a batch is full
  std::thread writer_;
};

}  // namespace bulkhead::controlplane
