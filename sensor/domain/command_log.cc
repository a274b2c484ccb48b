// At most once: which commands were started here, and what came of them.
#include "sensor/domain/command_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {

CommandLog::CommandLog(std::vector<CommandRecord> stored) {
  for (CommandRecord& record : stored) {
    // A stored result counts as acknowledged: if it is not, the control plane repeats the command and is answered then.
    const bool interrupted = !record.result.has_value();
    if (interrupted) {
      record.result = CommandResult{CommandOutcome::kUnknown, "",
                                    "the sensor was stopped while it carried out this command, before it could store a "
                                    "result; it was not tried again: look at the host, then order it anew if needed"};
    }
    entries_.push_back({std::move(record), !interrupted});
  }
}

CommandDecision CommandLog::Take(const Command& command, absl::string_view own_sensor_id, absl::Time now) {
  if (const Entry* known = Find(command.id); known != nullptr) {
    return known->record.result.has_value() ? CommandDecision::kAnswer : CommandDecision::kInFlight;
  }
  if (command.sensor_id != own_sensor_id) {
    Add(command,
        CommandResult{
            CommandOutcome::kRefused, "",
            absl::StrCat("the command is for sensor ", command.sensor_id, " and this is ", std::string(own_sensor_id))},
        now);
    return CommandDecision::kAnswer;
  }
  if (now > command.not_after) {
    Add(command,
        CommandResult{CommandOutcome::kRefused, "",
                      absl::StrCat("the command's deadline ", absl::FormatTime(command.not_after, absl::UTCTimeZone()),
                                   " had passed when it arrived, by this host's clock; nothing was done")},
        now);
    return CommandDecision::kAnswer;
  }
  if (const Entry* used = FindStatement(command.statement_digest); used != nullptr) {
    const std::string before = used->record.id;
    Add(command,
        CommandResult{CommandOutcome::kRefused, "",
                      absl::StrCat("what was signed for it was carried out as command ", before,
                                   "; it would be a replay: sign the order again")},
        now);
    return CommandDecision::kAnswer;
  }
  Add(command, std::nullopt, now);
  return CommandDecision::kStart;
}

void CommandLog::Finish(const std::string& id, CommandResult result) {
  Entry* entry = Find(id);
  if (entry != nullptr && !entry->record.result.has_value()) entry->record.result = std::move(result);
}

void CommandLog::Acknowledge(const std::string& id) {
  Entry* entry = Find(id);
  if (entry == nullptr) return;
  entry->acknowledged = true;
  if (entry->record.result.has_value() && entry->record.result->group.has_value())
    entry->record.result->group->processes.clear();
}

const CommandResult* CommandLog::ResultOf(const std::string& id) const {
  const Entry* entry = Find(id);
  return entry != nullptr && entry->record.result.has_value() ? &*entry->record.result : nullptr;
}

std::vector<CommandRecord> CommandLog::Unacknowledged() const {
  std::vector<CommandRecord> out;
  for (const Entry& entry : entries_) {
    if (entry.record.result.has_value() && !entry.acknowledged) out.push_back(entry.record);
  }
  return out;
}

std::vector<CommandRecord> CommandLog::records() const {
  std::vector<CommandRecord> out;
  for (const Entry& entry : entries_) out.push_back(entry.record);
  return out;
}

CommandLog::Entry* CommandLog::Find(const std::string& id) {
  const auto it =
      std::find_if(entries_.begin(), entries_.end(), [&id](const Entry& entry) { return entry.record.id == id; });
  return it == entries_.end() ? nullptr : &*it;
}

const CommandLog::Entry* CommandLog::Find(const std::string& id) const {
  return const_cast<CommandLog*>(this)->Find(id);
}

const CommandLog::Entry* CommandLog::FindStatement(const std::string& digest) const {
  if (digest.empty()) return nullptr;
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&digest](const Entry& entry) { return entry.record.statement_digest == digest; });
  return it == entries_.end() ? nullptr : &*it;
}

void CommandLog::Add(const Command& command, std::optional<CommandResult> result, absl::Time now) {
  entries_.push_back({{command.id, std::move(result), command.kind()}});
  // A refusal uses nothing up.
  if (!entries_.back().record.result.has_value()) {
    entries_.back().record.statement_digest = command.statement_digest;
    entries_.back().record.statement_expires_at = command.statement_expires_at;
  }
  if (entries_.size() > kRetained) ForgetOldest(now);
}

// What the control plane has acknowledged goes first: it never sends those again.
// A statement that could still be used is remembered: a stolen control plane could order others until it is forgotten.
void CommandLog::ForgetOldest(absl::Time now) {
  const auto forgettable = [now](const Entry& entry) {
    return entry.record.result.has_value() && entry.record.statement_expires_at < now;
  };
  auto victim = std::find_if(entries_.begin(), entries_.end(),
                             [&](const Entry& entry) { return entry.acknowledged && forgettable(entry); });
  if (victim == entries_.end()) victim = std::find_if(entries_.begin(), entries_.end(), forgettable);
  if (victim != entries_.end()) entries_.erase(victim);
}

}  // namespace bulkhead::sensor
