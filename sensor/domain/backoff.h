// When to try the control plane again: exponential, full jitter, capped, and not fooled by a session that dies at once.
#pragma once

#include <functional>

#include "absl/time/time.h"

namespace bulkhead::sensor {

// Not thread safe.
class Backoff {
 public:
  static constexpr absl::Duration kFirst = absl::Seconds(1);
  static constexpr absl::Duration kCap = absl::Seconds(60);
  // A session that lived this long proves that the control plane works; only then does the wait start from the
  // beginning.
  static constexpr absl::Duration kProvenAfter = absl::Seconds(60);
  // After a connection that worked is lost, every sensor of the fleet lost it too: spread the first attempts.
  static constexpr absl::Duration kSpread = absl::Seconds(5);

  // `uniform` returns a number in [0, 1).
  explicit Backoff(std::function<double()> uniform) : uniform_(std::move(uniform)) {}

  // Wait after an attempt that never became a session: uniform in [0, min(cap, first * 2^failures)).
  absl::Duration AfterFailure();

  // Wait after a session that lived `lived`. A proven one resets the growth and waits uniform in [0, spread).
  absl::Duration AfterSession(absl::Duration lived);

  // Wait after the control plane refused this sensor's identity: retrying fast cannot help. kCap plus up to a quarter.
  absl::Duration AfterRefusal();

 private:
  std::function<double()> uniform_;
  int failures_ = 0;
};

}  // namespace bulkhead::sensor
