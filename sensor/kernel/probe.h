// Finds out which hooks work on this kernel, by their effect on a child process.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// What works here, and which programs to load for it.
struct ProbeResult {
  Capabilities capabilities;
  std::set<std::string> programs;  // names of programs in isolation, containment and exec
  bool kill_connect = false;       // a hook that kills in tcp_connect is among them
  bool deny_exec = false;          // a hook that refuses an exec is among them

  bool Has(const std::string& mechanism) const;
};

// Loads one small program after the other, lets a child do what its hook should see, and watches. Changes nothing
// outside a cgroup of its own, which it removes. Takes some 10 ms a mechanism. Fails when it cannot make that cgroup or
// a child.
absl::StatusOr<ProbeResult> ProbeKernel();

}  // namespace bulkhead::sensor
