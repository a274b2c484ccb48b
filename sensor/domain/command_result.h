// What became of a command.
#pragma once

#include <string>

namespace bulkhead::sensor {

// Kills end with one of the first six, orders to the tamper guard with kRefused, kUnknown, kDone or kFailed. Stored in
// the command log by number.
enum class CommandOutcome {
  kGone = 1,
  kAlreadyGone = 2,
  kNotTheSameProcess = 3,
  kRefused = 4,
  kSignalledStillThere = 5,
  kUnknown = 6,
  kDone = 7,
  kFailed = 8
};

struct CommandResult {
  CommandOutcome outcome = CommandOutcome::kUnknown;
  std::string found;    // what was found under the pid; empty when nothing was, and for the tamper guard
  std::string message;  // in words
};

}  // namespace bulkhead::sensor
