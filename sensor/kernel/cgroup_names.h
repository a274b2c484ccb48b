// Paths of cgroups by their ids.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/unique_fd.h"

namespace bulkhead::sensor {

// Remembers what it found: a short-lived process takes its cgroup with it. Not thread safe.
class CgroupNames {
 public:
  CgroupNames();

  // As in /proc/PID/cgroup: "/" or "/a/b". Empty: there is no such cgroup any more, and it was not asked for while
  // there was; or no cgroup v2 hierarchy is mounted.
  std::string PathOf(uint64_t id);

 private:
  std::string root_;
  UniqueFd root_fd_;
  std::map<uint64_t, std::string> known_;
};

}  // namespace bulkhead::sensor
