// Who has a blocked file mapped as code: listed from the kernel, and killed where a policy says so.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/cgroup.h"

struct bpf_program;

namespace bulkhead::sensor {

// What is known for one policy.
struct PolicyRunners {
  std::vector<uint32_t> pids;  // ascending
  uint64_t killed = 0;         // since the sensor started
};

// Not thread safe.
class Runners {
 public:
  // `program` is bh_running, loaded.
  Runners(const bpf_program* program, Scope scope) : program_(program), scope_(std::move(scope)) {}

  // Lists the processes inside the scope that run a file which the published set blocks. Never this process, nor pid 1.
  absl::Status List(const DesiredState& state);

  // Kills those that run a file of a policy of `state` that says so, and lists again. Goes on until nothing is left or
  // grows no fewer, because a process may fork meanwhile; at most a second. Each kill is
  // recorded in `stops` (bh_stops).
  absl::Status Kill(const DesiredState& state, const BpfMap& stops);

  // By policy id.
  const std::map<std::string, PolicyRunners>& all() const { return runners_; }
  bool any() const;

 private:
  const bpf_program* program_;
  Scope scope_;
  std::map<std::string, PolicyRunners> runners_;
};

}  // namespace bulkhead::sensor
