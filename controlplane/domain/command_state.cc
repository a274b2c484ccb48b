// What a result makes of a command.
#include "controlplane/domain/command_state.h"

namespace bulkhead::controlplane {

CommandState StateAfter(KillOutcome outcome) {
  const bool gone = outcome == KillOutcome::kGone || outcome == KillOutcome::kAlreadyGone;
  return gone ? CommandState::kSucceeded : CommandState::kFailed;
}

}  // namespace bulkhead::controlplane
