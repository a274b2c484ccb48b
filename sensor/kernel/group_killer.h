// Kills several processes: a tree, those that run a file, those of a cgroup.
#pragma once

#include "sensor/domain/command_result.h"
#include "sensor/domain/process_killer.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/held_process.h"
#include "sensor/kernel/never_killed.h"

namespace bulkhead::sensor {

// `root` was checked: it is the one that was meant, and may be killed. Every fork of a member from now on is seen by
// the kernel; who left the tree before (its parent had ended) is not found.
CommandResult KillTree(const HeldProcess& root, const NeverKilled& never);

// Looks again until nobody runs the file.
CommandResult KillRunningFile(const RunningFile& file, const NeverKilled& never);

// At once where the kernel has cgroup.kill and nobody inside has to be left alone; else one by one, until nobody is
// left. `cgroup` is inside of the sensor's scope.
CommandResult KillCgroup(const Scope& cgroup, const NeverKilled& never);

}  // namespace bulkhead::sensor
