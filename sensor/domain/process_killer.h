// Port: kills one process, and not another that has its number.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace bulkhead::sensor {

// Which process; see bulkhead.v1.ProcessIdentity.
struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time_ticks = 0;                          // 0: not known
  std::string boot_id;                                    // empty: not checked
  std::string executable;                                 // empty: not checked
  absl::Time not_started_after = absl::InfiniteFuture();  // compared with the process's start when ticks are not known
};

enum class KillOutcome {
  kGone = 1,
  kAlreadyGone = 2,
  kNotTheSameProcess = 3,
  kRefused = 4,
  kSignalledStillThere = 5,
  kUnknown = 6
};

struct KillResult {
  KillOutcome outcome = KillOutcome::kUnknown;
  std::string found;    // what was found under the pid; empty when nothing was
  std::string message;  // in words
};

class ProcessKiller {
 public:
  virtual ~ProcessKiller() = default;

  // Opens a pidfd, checks the identity behind it, sends SIGKILL through it and waits up to 5 s for the end. Never pid
  // 1, a kernel thread, the sensor itself or a process outside the sensor's scope. Blocks; called on a worker thread.
  // Thread safe.
  virtual KillResult Kill(const ProcessIdentity& process) = 0;
};

}  // namespace bulkhead::sensor
