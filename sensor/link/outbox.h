// Messages that wait to be written to the stream: bounded, in order.
#pragma once

#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/sensor_link.pb.h"

namespace bulkhead::sensor {

// Thread safe.
class Outbox {
 public:
  explicit Outbox(size_t capacity) : capacity_(capacity) {}

  // False when it is full or closed. A heartbeat that still waits is replaced: only the newest observed state is of
  // use.
  bool Push(v1::ConnectRequest message);

  // Waits for a message; empty once closed.
  std::optional<v1::ConnectRequest> Pop();

  // Wakes Pop for good; what still waits is dropped.
  void Close();

 private:
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || !messages_.empty(); }

  const size_t capacity_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<v1::ConnectRequest> messages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::sensor
