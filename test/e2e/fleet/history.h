// What simulated hosts really did, in the order in which they did it: the other half of what the control plane says.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace bulkhead::e2e {

using Clock = std::chrono::steady_clock;

// What a kernel enforces, as an operator would say it.
struct Enforced {
  bool contained = false;
  bool isolated = false;
  std::set<std::string> blocked;  // paths
  bool operator==(const Enforced&) const = default;
};

// A host put a generation in force.
struct Applied {
  std::string sensor_id;
  uint64_t generation = 0;
  std::string digest;
  Enforced enforced;
  Clock::time_point when;
  double isolation_seconds = 0;  // how long the isolation lasts from here, as the host reads it; 0: no end
};

// A host killed a process.
struct Killed {
  std::string sensor_id;
  std::string command_id;
  uint32_t pid = 0;
};

// Thread safe.
class History {
 public:
  void Add(Applied event) {
    const std::lock_guard lock(mutex_);
    applied_.push_back(std::move(event));
  }
  void Add(Killed event) {
    const std::lock_guard lock(mutex_);
    killed_.push_back(std::move(event));
  }
  // All but the first `skipped`.
  std::vector<Applied> applied(size_t skipped = 0) const {
    const std::lock_guard lock(mutex_);
    return {applied_.begin() + static_cast<ptrdiff_t>(std::min(skipped, applied_.size())), applied_.end()};
  }
  size_t applied_count() const {
    const std::lock_guard lock(mutex_);
    return applied_.size();
  }
  std::vector<Killed> killed() const {
    const std::lock_guard lock(mutex_);
    return killed_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Applied> applied_;
  std::vector<Killed> killed_;
};

}  // namespace bulkhead::e2e
