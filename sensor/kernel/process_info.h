// What /proc says about one process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "sensor/domain/process_tree.h"

namespace bulkhead::sensor {

struct ProcessInfo {
  uint64_t start_time_ticks = 0;  // field 22 of /proc/PID/stat: clock ticks after boot
  uint32_t parent = 0;            // process id; 0: none
  bool kernel_thread = false;
  std::string executable;    // empty: the process has none
  std::string command_line;  // arguments joined by blanks; the name in brackets when there are none
};

// Reads `text`, the content of /proc/PID/stat, whatever the process calls itself. InvalidArgument: not such a text.
absl::StatusOr<ProcessInfo> ParseProcessStat(absl::string_view text);

// NotFound when there is no such process.
absl::StatusOr<ProcessInfo> ReadProcess(pid_t pid);

// All processes, one after the other: a table that is true row by row.
std::vector<ProcessEntry> ReadProcessTable();

// When a process with this start time was started, by the wall clock, give or take a clock tick.
absl::Time StartedAt(uint64_t start_time_ticks);

}  // namespace bulkhead::sensor
