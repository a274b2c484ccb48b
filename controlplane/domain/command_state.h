// What a result makes of a command.
#pragma once

#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// A delivered command whose result never came is given up so long after its deadline: the sensor may have carried it
// out and be away.
inline constexpr absl::Duration kResultGrace = absl::Hours(24);

// A kill of one process or several, and not an order to the tamper guard. Pure; thread safe.
bool IsKill(CommandKind kind);
// A kill of several. Pure; thread safe.
bool IsGroupKill(CommandKind kind);

// kSucceeded when the process is not there any more (kGone, kAlreadyGone) or the order to the guard was carried out
// (kDone), kFailed otherwise. Pure; thread safe.
CommandState StateAfter(CommandOutcome outcome);

// The result as it is stored: one that does not belong to the kind of command becomes kUnknown. Pure; thread safe.
CommandResult ResultFor(CommandKind kind, CommandResult result);

}  // namespace bulkhead::controlplane
