// What a result makes of a command.
#include "controlplane/domain/command_state.h"

namespace bulkhead::controlplane {

bool IsGroupKill(CommandKind kind) {
  return kind == CommandKind::kKillTree || kind == CommandKind::kKillFile || kind == CommandKind::kKillScope;
}

bool IsKill(CommandKind kind) {
  return kind == CommandKind::kKillProcess || IsGroupKill(kind);
}

CommandState StateAfter(CommandOutcome outcome) {
  const bool done =
      outcome == CommandOutcome::kGone || outcome == CommandOutcome::kAlreadyGone || outcome == CommandOutcome::kDone;
  return done ? CommandState::kSucceeded : CommandState::kFailed;
}

CommandResult ResultFor(CommandKind kind, CommandResult result) {
  const bool any = result.outcome == CommandOutcome::kRefused || result.outcome == CommandOutcome::kUnknown;
  const bool of_guard = result.outcome == CommandOutcome::kDone || result.outcome == CommandOutcome::kFailed;
  if (!IsGroupKill(kind)) result.evidence.clear();
  if (any || of_guard != IsKill(kind)) return result;
  return {CommandOutcome::kUnknown, "",
          "the sensor answered with the result of another kind of command: " + result.message};
}

}  // namespace bulkhead::controlplane
