// What became of a command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

// One process of a group that was killed.
struct KilledProcess {
  uint32_t pid = 0;
  CommandOutcome outcome = CommandOutcome::kUnknown;  // one of the first six
  std::string found;                                  // what was found under the pid
  std::string message;                                // why it was left alone; empty otherwise

  friend bool operator==(const KilledProcess&, const KilledProcess&) = default;
};

struct KillCounts {
  uint32_t killed = 0;       // and seen to end
  uint32_t refused = 0;      // left alone
  uint32_t still_there = 0;  // signalled, and not ended

  friend bool operator==(const KillCounts&, const KillCounts&) = default;
};

inline constexpr size_t kMostProcessesListed = 256;

// What there is to show for a kill of several processes.
struct KillGroupEvidence {
  KillCounts counts;
  std::vector<KilledProcess> processes;  // what was not killed first; at most kMostProcessesListed

  friend bool operator==(const KillGroupEvidence&, const KillGroupEvidence&) = default;
};

struct CommandResult {
  CommandOutcome outcome = CommandOutcome::kUnknown;
  std::string found;    // what was found under the pid; empty when nothing was, and for anything but one process
  std::string message;  // in words
  std::optional<KillGroupEvidence> group = std::nullopt;  // of a kill of several processes that was tried
};

}  // namespace bulkhead::sensor
