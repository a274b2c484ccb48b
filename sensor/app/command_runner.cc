// Commands from arrival to result.
#include "sensor/app/command_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace bulkhead::sensor {

CommandRunner::CommandRunner(CommandLogStore* store, KillWorker* worker) : store_(store), worker_(worker) {
  absl::StatusOr<std::vector<CommandRecord>> stored = store_->Load();
  if (stored.ok()) {
    log_ = CommandLog(*std::move(stored));
    Save().IgnoreError();
    return;
  }
  problem_ = absl::StrCat("the command log was lost: ", stored.status().message());
  LogError("command log was lost", {{"error", stored.status().message()}});
}

std::optional<CommandResultMessage> CommandRunner::Take(const LinkCommand& incoming, absl::string_view own_sensor_id,
                                                        absl::Time now) {
  if (!incoming.command.ok()) {
    return CommandResultMessage{
        incoming.id,
        {KillOutcome::kRefused, "", absl::StrCat("the command is malformed: ", incoming.command.status().message())}};
  }
  const Command& command = *incoming.command;
  switch (log_.Take(command, own_sensor_id, now)) {
    case CommandDecision::kInFlight:
      return std::nullopt;
    case CommandDecision::kAnswer:
      return CommandResultMessage{command.id, *log_.ResultOf(command.id)};
    case CommandDecision::kStart:
      break;
  }
  if (const absl::Status saved = Save(); !saved.ok()) {
    return Refuse(command.id, absl::StrCat("it could not be stored, and without that it might be carried out twice: ",
                                           saved.message()));
  }
  if (!worker_->Start(command)) return Refuse(command.id, "too many commands wait on this host");
  LogInfo("kill started", {{"command", command.id}, {"pid", command.process.pid}});
  return std::nullopt;
}

CommandResultMessage CommandRunner::Finish(KillDone done) {
  LogInfo("kill ended", {{"command", done.command_id},
                         {"outcome", static_cast<int>(done.result.outcome)},
                         {"message", done.result.message}});
  log_.Finish(done.command_id, done.result);
  // Without the stored result the answer after a restart is "unknown": weaker, and still at most once.
  if (const absl::Status saved = Save(); !saved.ok()) {
    LogError("command result was not stored", {{"command", done.command_id}, {"error", saved.message()}});
  }
  return {std::move(done.command_id), std::move(done.result)};
}

std::vector<CommandResultMessage> CommandRunner::Unacknowledged() const {
  std::vector<CommandResultMessage> out;
  for (CommandRecord& record : log_.Unacknowledged()) out.push_back({record.id, *std::move(record.result)});
  return out;
}

CommandResultMessage CommandRunner::Refuse(const std::string& id, const std::string& why) {
  return Finish({id, {KillOutcome::kRefused, "", why}});
}

absl::Status CommandRunner::Save() {
  return store_->Save(log_.records());
}

}  // namespace bulkhead::sensor
