// The yardstick of the exec matrix and of exec_cost_bench: a path match in sys_execve that kills the caller.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct exec_hook_bpf;

namespace bulkhead::leak {

// Attached for as long as the object lives. Not thread safe.
class ExecHook {
 public:
  // `cgroup`: directory of the cgroup to look at, by a tracepoint; empty: the whole host, by a kprobe.
  static absl::StatusOr<std::unique_ptr<ExecHook>> Open(const std::string& cgroup);
  ~ExecHook();
  ExecHook(const ExecHook&) = delete;
  ExecHook& operator=(const ExecHook&) = delete;

  // Kills whoever calls execve with exactly this path, up to 255 bytes. Empty: nobody.
  void Kill(const std::string& path);

 private:
  explicit ExecHook(exec_hook_bpf* programs) : programs_(programs) {}

  exec_hook_bpf* const programs_;
};

}  // namespace bulkhead::leak
