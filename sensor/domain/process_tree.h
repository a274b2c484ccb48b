// Who descends from whom. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <vector>

namespace bulkhead::sensor {

// One process, and not another that gets its number later in the same boot.
struct ProcessKey {
  uint32_t pid = 0;
  uint64_t start_time_ticks = 0;  // field 22 of /proc/PID/stat

  friend auto operator<=>(const ProcessKey&, const ProcessKey&) = default;
};

// A row of the table of processes.
struct ProcessEntry {
  ProcessKey key;
  uint32_t parent = 0;  // process id; 0: none
};

// Those of `table` that descend from a process of `roots` and are not in it. The rows may have been read one after the
// other while numbers were given away: nobody is the child of a younger process.
std::vector<ProcessKey> DescendantsOf(const std::vector<ProcessEntry>& table, const std::set<ProcessKey>& roots);

}  // namespace bulkhead::sensor
