// At most once: which commands were started here, and what came of them. Pure; the caller stores records() after each
// change.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "sensor/domain/command.h"

namespace bulkhead::sensor {

// One command that this host has taken. Without a result it was started and has not finished.
struct CommandRecord {
  std::string id;
  std::optional<CommandResult> result;
  CommandKind kind = CommandKind::kKillProcess;
  // Of a signed command: see Command. Remembered until then, whatever else is forgotten.
  std::string statement_digest = {};
  absl::Time statement_expires_at = absl::InfinitePast();
};

// What to do with a command that has arrived.
enum class CommandDecision {
  kStart,     // store records(), then carry it out
  kAnswer,    // send ResultOf(id); do nothing
  kInFlight,  // it is being carried out; its result will be sent
};

// Not thread safe: used by the loop thread only.
class CommandLog {
 public:
  // How many finished commands are remembered. The control plane repeats a command until it has acknowledged the
  // result, so this only has to exceed what one host is given between two acknowledgements.
  static constexpr size_t kRetained = 1024;

  // `stored` is what records() was before the restart. A command in it without a result was interrupted: nobody knows
  // whether it was carried out, so its result becomes kUnknown and it is never tried again.
  explicit CommandLog(std::vector<CommandRecord> stored = {});

  // True: Take knows this id already, and does not ask what the command says.
  bool Knows(const std::string& id) const { return Find(id) != nullptr; }

  // Decides about a command. One that is new and still within its time becomes started; one that is too late or not for
  // `own_sensor_id` gets a refusal as its result, and so does one whose statement was used before.
  CommandDecision Take(const Command& command, absl::string_view own_sensor_id, absl::Time now);

  // Sets the result of a started command. The first result stays.
  void Finish(const std::string& id, CommandResult result);

  // The control plane has the result: it need not be sent again on its own, nor are the processes of a group kept.
  void Acknowledge(const std::string& id);

  // Null when the command is unknown or has no result.
  const CommandResult* ResultOf(const std::string& id) const;

  // Finished and not acknowledged, oldest first.
  std::vector<CommandRecord> Unacknowledged() const;

  // Everything that must be stored, oldest first.
  std::vector<CommandRecord> records() const;

 private:
  struct Entry {
    CommandRecord record;
    bool acknowledged = false;
  };

  Entry* Find(const std::string& id);
  const Entry* Find(const std::string& id) const;
  void Add(const Command& command, std::optional<CommandResult> result, absl::Time now);
  const Entry* FindStatement(const std::string& digest) const;
  void ForgetOldest(absl::Time now);

  std::vector<Entry> entries_;  // oldest first
};

}  // namespace bulkhead::sensor
