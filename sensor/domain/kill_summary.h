// What became of a group of processes, from what became of each. Pure.
#pragma once

#include <string>
#include <vector>

#include "sensor/domain/command_result.h"

namespace bulkhead::sensor {

// The result of a kill of several processes; see bulkhead.v1.KillGroupResult for the outcome. Those with kAlreadyGone
// count for nothing: they ended by themselves. At most kMostProcessesListed are listed, what was not killed first, each
// with its text cut. `how` says by which means it was done, for the message.
CommandResult SummarizeKills(std::vector<KilledProcess> processes, const std::string& how);

}  // namespace bulkhead::sensor
