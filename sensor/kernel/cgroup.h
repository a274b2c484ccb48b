// The cgroup v2 hierarchy: where it is mounted, what a scope is, who is in it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::sensor {

// A cgroup that enforcement is confined to.
struct Scope {
  std::string path;      // directory of the cgroup
  std::string relative;  // the same below the hierarchy's root, as in /proc/PID/cgroup: "/" or "/a/b"
  uint64_t id = 0;       // as bpf_get_current_cgroup_id has it
  uint32_t level = 0;    // 0: the root

  bool is_host() const { return level == 0; }
};

// Where cgroup v2 is mounted, from /proc/self/mountinfo. NotFound when it is not.
absl::StatusOr<std::string> FindCgroup2Mount();

// The scope for a cgroup directory; empty: the root. NotFound when it is not a cgroup v2 directory.
absl::StatusOr<Scope> ResolveScope(const std::string& path);

// Id of the cgroup with this directory.
absl::StatusOr<uint64_t> CgroupId(const std::string& path);

// Cgroup v2 path of a process as /proc/PID/cgroup has it. NotFound when there is no such process.
absl::StatusOr<std::string> CgroupOfProcess(pid_t pid);

// True when `cgroup` (as in /proc/PID/cgroup) is the scope or below it.
bool IsInside(const Scope& scope, const std::string& cgroup);

// Processes in the scope and below it.
std::vector<pid_t> ProcessesIn(const Scope& scope);

}  // namespace bulkhead::sensor
