// Port: kills processes, and not others that have their numbers.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "sensor/domain/command_result.h"
#include "sensor/domain/policy_scope.h"

namespace bulkhead::sensor {

// Which process; see bulkhead.v1.ProcessIdentity.
struct ProcessIdentity {
  uint32_t pid = 0;
  uint64_t start_time_ticks = 0;                          // 0: not known
  std::string boot_id;                                    // empty: not checked
  std::string executable;                                 // empty: not checked
  absl::Time not_started_after = absl::InfiniteFuture();  // compared with the process's start when ticks are not known
};

// A process and its descendants.
struct ProcessTree {
  ProcessIdentity root;
};

// The processes that run a file; see bulkhead.v1.RunningFile.
struct RunningFile {
  std::string path;    // absolute; empty: `sha256` names it
  std::string sha256;  // 32 bytes, or empty
};

// Several processes; see bulkhead.v1.KillGroup.
using KillGroup = std::variant<ProcessTree, RunningFile, PolicyScope>;

// Never kills pid 1, a kernel thread, the sensor, its ancestors or a process outside the sensor's scope. The calls
// block and come on a worker thread. Thread safe.
class ProcessKiller {
 public:
  virtual ~ProcessKiller() = default;

  // Opens a pidfd, checks the identity behind it, sends SIGKILL through it and waits up to 5 s for the end.
  virtual CommandResult Kill(const ProcessIdentity& process) = 0;

  // Kills until a look finds nobody left, at most for about 10 s (and the time to read files whose content is asked
  // for). The result has `group` unless nothing was tried.
  virtual CommandResult KillAll(const KillGroup& group) = 0;
};

}  // namespace bulkhead::sensor
