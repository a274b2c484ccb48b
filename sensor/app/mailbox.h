// How other threads reach the loop: a bounded queue with a descriptor for epoll.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

// Post waits while the queue is full; for the stream's reader this is flow control towards the control plane. Thread
// safe.
template <typename Message>
class Mailbox {
 public:
  explicit Mailbox(size_t capacity) : capacity_(capacity), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Waits for room. After Close the message is dropped.
  void Post(Message message) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Mailbox::HasRoom));
    if (closed_) return;
    messages_.push_back(std::move(message));
    const uint64_t one = 1;
    // Can only fail when the counter is full, and then the descriptor is readable already.
    (void)!write(event_.get(), &one, sizeof(one));
  }

  // Everything that waits; never blocks.
  std::deque<Message> TakeAll() {
    absl::MutexLock lock(&mutex_);
    uint64_t count;
    (void)!read(event_.get(), &count, sizeof(count));
    return std::exchange(messages_, {});
  }

  // Nobody reads any more: wakes who waits, and drops what comes.
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    messages_.clear();
  }

  // Readable while something waits.
  int fd() const { return event_.get(); }

 private:
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || messages_.size() < capacity_; }

  const size_t capacity_;
  const UniqueFd event_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Message> messages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::sensor
