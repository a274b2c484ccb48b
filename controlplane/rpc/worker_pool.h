// Threads for work that blocks (the database, signing), so that a gRPC reaction never does.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bulkhead::controlplane {

// Runs tasks first in, first out. Thread safe. The destructor stops it.
class WorkerPool {
 public:
  // `capacity` bounds the queue, not the tasks that run.
  WorkerPool(int threads, size_t capacity);
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs what is queued, then ends the threads. May be called again, from one thread.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // False when the queue is full or the pool is stopping; then the task is not run.
  bool Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Tasks that wait.
  size_t waiting() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop();
  bool HasWorkOrStops() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !tasks_.empty(); }

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace bulkhead::controlplane
