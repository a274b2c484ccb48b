// The containments and isolations that have a scope, and the cgroups that carry them now.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// A scope is looked for about once a second: it may appear, go, and be made anew. One that has gone keeps its entry in
// the kernel until there is another, so that a socket that left it alive stays behind the wall. Not thread safe.
class ScopedWalls {
 public:
  struct Wall {
    Policy policy;
    std::optional<Scope> cgroup;  // the last that it was; none: it never was there
    bool present = false;         // ... and still is
    std::string problem;          // why it is not
  };

  // What a look came to.
  struct Changes {
    bool for_kernel = false;         // Compile gives something else than before
    std::vector<std::string> moves;  // in words: what appeared, went, or is another cgroup now
  };

  // `own`: what the sensor was started for.
  explicit ScopedWalls(Scope own) : own_(std::move(own)) {}

  // FailedPrecondition: the policy's scope, which `in_force` has not, is ambiguous or outside of what the sensor was
  // started for.
  // What is in force is not asked about again: whoever makes a cgroup of the same name must not thereby keep later
  // orders out.
  absl::Status Check(const Policy& policy, const DesiredState& in_force) const;

  // From now on the walls of `state`. A scope that was walled before, by this sensor or an earlier one, keeps the
  // cgroup that it has, while that is there. `in_kernel`: id of the cgroup that the kernel has for a policy; 0: none.
  void Reset(const DesiredState& state, const std::function<uint64_t(const Policy&)>& in_kernel);

  // Looks again.
  Changes Refresh();

  // The kernel's entries, by level: of every wall whose scope is or was there.
  std::vector<bh_scoped_wall> Compile(const std::function<uint64_t(const Policy&)>& expiry) const;

  const std::vector<Wall>& all() const { return walls_; }
  const Wall* Find(const std::string& policy_id) const;

 private:
  Scope own_;
  std::vector<Wall> walls_;
};

}  // namespace bulkhead::sensor
