// One process, held by a pidfd: its number may be given away, the descriptor stays with it.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/unique_fd.h"
#include "sensor/domain/process_tree.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {

class HeldProcess {
 public:
  // The process that has this number now. NotFound: none, or it has ended. InvalidArgument: the number is a thread's.
  static absl::StatusOr<HeldProcess> Hold(pid_t pid);

  pid_t pid() const { return pid_; }
  const ProcessInfo& info() const { return info_; }
  ProcessKey key() const { return {static_cast<uint32_t>(pid_), info_.start_time_ticks}; }

  // True when all its threads have ended; waits for that as long as `patience`.
  bool Ended(absl::Duration patience = absl::ZeroDuration()) const;

  // Sends SIGKILL. NotFound: it has ended.
  absl::Status Kill() const;

  // For an operator: number, command line, executable and start.
  std::string Describe() const;

 private:
  HeldProcess(pid_t pid, UniqueFd pidfd, ProcessInfo info)
      : pid_(pid), pidfd_(std::move(pidfd)), info_(std::move(info)) {}

  pid_t pid_;
  UniqueFd pidfd_;
  ProcessInfo info_;
};

}  // namespace bulkhead::sensor
