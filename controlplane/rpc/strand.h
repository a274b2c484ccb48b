// Runs one object's work on the pool, one piece at a time.
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/rpc/worker_pool.h"

namespace bulkhead::controlplane {

// Wakes coalesce: however often it is woken, `step` runs once after the last wake and never twice at once. Thread safe.
class Strand {
 public:
  explicit Strand(WorkerPool* workers) : workers_(workers) {}

  // `step` is the same each time and keeps the strand's owner alive. False when the pool has no room; then it is not
  // run.
  bool Wake(std::function<void()> step) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  enum class State { kIdle, kQueued, kRunning, kRunningAgain };

  void Run(const std::function<void()>& step) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends a run; true when it was woken meanwhile and must run again.
  bool Again() ABSL_LOCKS_EXCLUDED(mutex_);

  WorkerPool* const workers_;
  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
};

}  // namespace bulkhead::controlplane
