// Commands from arrival to result.
#include "sensor/app/command_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/log.h"

namespace bulkhead::sensor {
namespace {

struct Describer {
  std::string operator()(const ProcessTree& tree) const { return absl::StrCat("the tree of pid ", tree.root.pid); }
  std::string operator()(const RunningFile& file) const {
    return file.path.empty() ? absl::StrCat("sha256 ", ToHex(file.sha256)) : absl::StrCat("file ", file.path);
  }
  std::string operator()(const PolicyScope& scope) const { return DescribeScope(scope); }
};

std::string Describe(const Command& command) {
  return command.group.has_value() ? std::visit(Describer(), *command.group)
                                   : absl::StrCat("pid ", command.process.pid);
}

}  // namespace

CommandRunner::CommandRunner(CommandLogStore* store, KillWorker* worker, GuardKeeper* guard)
    : store_(store), worker_(worker), guard_(guard) {
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
    return CommandResultMessage{incoming.id,
                                {CommandOutcome::kRefused, "",
                                 absl::StrCat("the command is malformed: ", incoming.command.status().message())}};
  }
  Command command = *incoming.command;
  if (authority_ != nullptr && !log_.Knows(command.id)) {
    const absl::Status authorized = authority_->AuthorizeCommand(&command, std::string(own_sensor_id), now);
    // Not in the log: whoever has no keys must not be able to fill it.
    if (!authorized.ok()) return NotAuthorized(command, authorized);
  }
  switch (log_.Take(command, own_sensor_id, now)) {
    case CommandDecision::kInFlight:
      return std::nullopt;
    case CommandDecision::kAnswer:
      return CommandResultMessage{command.id, *log_.ResultOf(command.id), command.kind()};
    case CommandDecision::kStart:
      break;
  }
  const auto refuse = [this, &command](const std::string& why) {
    return Finish(command.id, {CommandOutcome::kRefused, "", why}, command.kind());
  };
  if (const absl::Status saved = Save(); !saved.ok()) {
    return refuse(
        absl::StrCat("it could not be stored, and without that it might be carried out twice: ", saved.message()));
  }
  if (command.guard.has_value()) return Finish(command.id, guard_->Obey(*command.guard), command.kind());
  if (!worker_->Start(command)) return refuse("too many commands wait on this host");
  LogInfo("kill started", {{"command", command.id}, {"of", Describe(command)}});
  return std::nullopt;
}

CommandResultMessage CommandRunner::NotAuthorized(const Command& command, const absl::Status& why) {
  LogError("a command is not authorized", {{"command", command.id}, {"reason", why.message()}});
  return {command.id, {CommandOutcome::kRefused, "", absl::StrCat("not authorized: ", why.message())}, command.kind()};
}

CommandResultMessage CommandRunner::Finish(const std::string& id, CommandResult result, CommandKind kind) {
  LogInfo("command ended",
          {{"command", id}, {"outcome", static_cast<int>(result.outcome)}, {"message", result.message}});
  log_.Finish(id, result);
  // Without the stored result the answer after a restart is "unknown": weaker, and still at most once.
  if (const absl::Status saved = Save(); !saved.ok()) {
    LogError("command result was not stored", {{"command", id}, {"error", saved.message()}});
  }
  return {id, std::move(result), kind};
}

std::vector<CommandResultMessage> CommandRunner::Unacknowledged() const {
  std::vector<CommandResultMessage> out;
  for (CommandRecord& record : log_.Unacknowledged())
    out.push_back({record.id, *std::move(record.result), record.kind});
  return out;
}

absl::Status CommandRunner::Save() {
  return store_->Save(log_.records());
}

}  // namespace bulkhead::sensor
