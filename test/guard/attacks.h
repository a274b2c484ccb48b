// What root tries against the sensor. Each attack returns 0 when it worked, else the errno.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::sensor {

// What attacks are aimed at.
struct Target {
  pid_t pid = 0;
  std::string cgroup;    // absolute path
  std::string pins;      // directory
  std::string rule_set;  // directory of the datapath's pins
  std::string tree;      // a protected directory with the file "state"
  std::string program;   // the sensor's file
};

struct Attack {
  const char* name;
  bool only_behind_wall;  // is allowed while no wall is up
  std::function<int(const Target&)> run;
};

// Signals, tracing, limits, cgroups.
std::vector<Attack> ProcessAttacks();
// Files, directories, mounts.
std::vector<Attack> FileAttacks();
// BPF objects by id, by pin and by link.
std::vector<Attack> ObjectAttacks();
// Switches and code of the kernel.
std::vector<Attack> KernelAttacks();

}  // namespace bulkhead::sensor
