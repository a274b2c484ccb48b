// Who has a blocked file mapped as code, or one that an allow-list does not name: listed from the kernel, and killed
// where a policy says so.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
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

  // By policy id, the processes that run what an allow-list does not name.
  using FindUnlisted = std::function<std::map<std::string, std::set<uint32_t>>()>;

  // Lists the processes inside the scope that run a file which the published set blocks, or does not name. Never this
  // process, nor pid 1.
  absl::Status List(const DesiredState& state, const FindUnlisted& unlisted);

  // Kills those that run a file of a policy of `state` that says so, and lists again; for an allow-list only if it is
  // one of `started` (by the bytes of the policy's key): a listed program that was upgraded since lives on. Goes on
  // until nothing is left or grows no fewer, because a process may fork meanwhile; at most a second. Each kill for a
  // block is recorded in `stops` (bh_stops).
  absl::Status Kill(const DesiredState& state, const std::set<std::string>& started, const FindUnlisted& unlisted,
                    const BpfMap& stops);

  // By policy id.
  const std::map<std::string, PolicyRunners>& all() const { return runners_; }
  bool any() const;

 private:
  // The policies whose runners are killed.
  static std::set<std::string> Deadly(const DesiredState& state, const std::set<std::string>& started);

  const bpf_program* program_;
  Scope scope_;
  std::map<std::string, PolicyRunners> runners_;
};

}  // namespace bulkhead::sensor
