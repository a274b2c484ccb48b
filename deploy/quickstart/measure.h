// From the moment an operator presses Enter to the moment the kernel obeys.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "deploy/quickstart/attempt.h"

namespace bulkhead::tour {

// Runs `command` (its output goes to standard error) and beside it, in a child that is moved into `cgroup` when that is
// not empty, `attempt` over and over. Prints the milliseconds from the start of the command to the first attempt with
// the wanted outcome. Exit code: 0; 1 when that outcome was not seen within 10 s; 2 when the command failed.
int MeasureAttempt(const std::string& cgroup, bool wanted_open, const std::function<Outcome()>& attempt,
                   const std::vector<std::string>& command);

// The same for the end of process `pid`.
int MeasureExit(pid_t pid, const std::vector<std::string>& command);

// Moves this process into a cgroup v2 directory. False with errno set.
bool EnterCgroup(const std::string& directory);

}  // namespace bulkhead::tour
