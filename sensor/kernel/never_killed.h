// Which processes are never killed, whatever is ordered.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>

#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {

// For one order: the sensor's ancestors are looked up when it is made.
class NeverKilled {
 public:
  // Nothing outside `scope` is killed.
  explicit NeverKilled(const Scope& scope);

  // Why this process is left alone; empty: it may be killed. `info` is what was read under `pid`.
  std::string Reason(pid_t pid, const ProcessInfo& info) const;

  // What lies outside may live on.
  const Scope& scope() const { return scope_; }

 private:
  Scope scope_;
  std::set<pid_t> ancestors_;  // of this process
};

}  // namespace bulkhead::sensor
