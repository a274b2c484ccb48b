// Port: kills one process, and not another that has its number.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "sensor/domain/command_result.h"

namespace bulkhead::sensor {

// Which process; see bulkhead.v1.ProcessIdentity.
struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time_ticks = 0;                          // 0: not known
  std::string boot_id;                                    // empty: not checked
  std::string executable;                                 // empty: not checked
  absl::Time not_started_after = absl::InfiniteFuture();  // compared with the process's start when ticks are not known
};

class ProcessKiller {
 public:
  virtual ~ProcessKiller() = default;

  // Opens a pidfd, checks the identity behind it, sends SIGKILL through it and waits up to 5 s for the end. Never pid
  // 1, a kernel thread, the sensor itself or a process outside the sensor's scope. Blocks; called on a worker thread.
  // Thread safe.
  virtual CommandResult Kill(const ProcessIdentity& process) = 0;
};

}  // namespace bulkhead::sensor
