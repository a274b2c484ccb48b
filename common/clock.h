// A clock that tests can set.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bulkhead {

// Wall-clock time. Implementations are thread safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class RealClock : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace bulkhead
