// The database's time, which all replicas share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/clock.h"

namespace bulkhead::controlplane {

// Carried on by the monotonic clock between two looks at the database: what ends at a certain time ends at the same
// moment whichever replica finds out, and a wall clock that jumps ends nothing early and keeps nothing alive. Until the
// database was asked it is this machine's time.
class DatabaseClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixNanos(offset_nanos_ + MonotonicNanos()); }

  // What the database said just now.
  void Set(absl::Time database_now) { offset_nanos_ = absl::ToUnixNanos(database_now) - MonotonicNanos(); }

 private:
  static int64_t MonotonicNanos() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  std::atomic<int64_t> offset_nanos_ = absl::ToUnixNanos(absl::Now()) - MonotonicNanos();
};

}  // namespace bulkhead::controlplane
