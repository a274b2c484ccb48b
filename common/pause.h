// A wait that ends when somebody says so, or after a time that no change of the wall clock makes longer or shorter.
#pragma once

#include <condition_variable>
#include <mutex>

#include "absl/time/time.h"

namespace bulkhead {

// For the threads that look at something again and again. Thread safe. The timed waits of absl::Mutex end at a
// wall-clock time: set back an hour, they last an hour longer; this one goes by the monotonic clock.
class Pause {
 public:
  // Returns when Wake or Stop was called, also before, or when `longest` is over. False: Stop was called.
  bool For(absl::Duration longest) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(longest), [this] { return woken_ || stopped_; });
    woken_ = false;
    return !stopped_;
  }
  void Wake() {
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }
  // For good.
  void Stop() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;    // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
};

}  // namespace bulkhead
