// A point in time that no change of the wall clock brings nearer or moves away.
#pragma once

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bulkhead {

// By the monotonic clock: root on the host can set the other one, and waits that end early undo what they guard.
class Deadline {
 public:
  explicit Deadline(absl::Duration from_now)
      : at_(std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(from_now)) {}

  // Never negative.
  absl::Duration Left() const {
    return std::max(absl::FromChrono(at_ - std::chrono::steady_clock::now()), absl::ZeroDuration());
  }
  std::chrono::steady_clock::time_point at() const { return at_; }
  // For calls that take wall-clock time and convert it at once, as gRPC's do.
  std::chrono::system_clock::time_point OnWallClock() const { return absl::ToChronoTime(absl::Now() + Left()); }

 private:
  std::chrono::steady_clock::time_point at_;
};

}  // namespace bulkhead
