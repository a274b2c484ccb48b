// Commands in the database.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/command_state.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelect[] =
    "SELECT id, sensor_id, kind, pid, start_time_ticks, boot_id, executable, not_started_after, guard_down_seconds,"
    " guard_code_hash, file_path, file_sha256, scope_kind, scope_name, created_at, created_by, not_after, state, "
    "outcome,"
    " found, message, evidence, finished_at, signed_order FROM commands ";

// What is ordered: the columns of the command's kind.
void ReadOrder(const pqxx::row& row, Command* command) {
  command->kind = CommandKindFrom(row["kind"]);
  switch (command->kind) {
    case CommandKind::kKillProcess:
    case CommandKind::kKillTree:
      command->process.pid = row["pid"].as<uint32_t>();
      command->process.start_time_ticks = row["start_time_ticks"].as<uint64_t>();
      command->process.boot_id = row["boot_id"].c_str();
      command->process.executable = row["executable"].c_str();
      command->process.not_started_after = TimeFrom(row["not_started_after"]);
      break;
    case CommandKind::kKillFile:
      command->file = {row["file_path"].c_str(), BytesFrom(row["file_sha256"])};
      break;
    case CommandKind::kKillScope:
      command->scope = {ScopeKindFrom(row["scope_kind"]), row["scope_name"].c_str()};
      break;
    case CommandKind::kLowerGuard:
      command->guard_down = absl::Seconds(row["guard_down_seconds"].as<int64_t>());
      break;
    case CommandKind::kSetGuardCode:
      command->guard_code_hash = BytesFrom(row["guard_code_hash"]);
      break;
  }
}

Command CommandFrom(const pqxx::row& row) {
  Command command;
  command.id = row["id"].c_str();
  command.sensor_id = row["sensor_id"].c_str();
  ReadOrder(row, &command);
  command.created_at = TimeFrom(row["created_at"]);
  command.created_by = row["created_by"].c_str();
  command.not_after = TimeFrom(row["not_after"]);
  command.state = CommandStateFrom(row["state"]);
  command.finished_at = OptionalTimeFrom(row["finished_at"]);
  if (!row["signed_order"].is_null()) command.signed_order = BytesFrom(row["signed_order"]);
  if (!row["outcome"].is_null()) {
    command.result = CommandResult{static_cast<CommandOutcome>(row["outcome"].as<int>()), row["found"].c_str(),
                                   row["message"].c_str()};
    if (!row["evidence"].is_null()) command.result->evidence = BytesFrom(row["evidence"]);
  }
  return command;
}

}  // namespace

absl::Status PgTransaction::InsertCommand(const Command& command) {
  const ProcessIdentity& process = command.process;
  const bool names_process = command.kind == CommandKind::kKillProcess || command.kind == CommandKind::kKillTree;
  const bool of_scope = command.kind == CommandKind::kKillScope;
  const bool lowers = command.kind == CommandKind::kLowerGuard;
  RETURN_IF_ERROR(
      Execute(
          "store a command",
          "INSERT INTO commands (id, sensor_id, kind, pid, start_time_ticks, boot_id, executable, not_started_after,"
          " guard_down_seconds, guard_code_hash, created_at, created_by, not_after, file_path, file_sha256, scope_kind,"
          " scope_name, signed_order) VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8::timestamptz, $9, NULLIF($10, "
          "''::bytea),"
          " $11::timestamptz, $12, $13::timestamptz, $14, $15, $16, $17,"
          " NULLIF($18, ''::bytea))",
          command.id, command.sensor_id, ToText(command.kind),
          names_process ? std::optional(process.pid) : std::nullopt, process.start_time_ticks, process.boot_id,
          process.executable, names_process ? std::optional(TimeText(process.not_started_after)) : std::nullopt,
          lowers ? std::optional(absl::ToInt64Seconds(command.guard_down)) : std::nullopt,
          Bytes(command.guard_code_hash), TimeText(command.created_at), command.created_by, TimeText(command.not_after),
          command.file.path, Bytes(command.file.sha256), of_scope ? ToText(command.scope.kind) : std::string(),
          of_scope ? command.scope.name : std::string(), Bytes(command.signed_order))
          .status());
  return Touch(command.sensor_id);
}

absl::StatusOr<Command> PgTransaction::GetCommand(const std::string& command_id) {
  if (!IsUuid(command_id)) return CommandNotFound(command_id);
  // So that nobody waits for the sweep to learn that a deadline has passed.
  RETURN_IF_ERROR(ExpireCommands("", command_id).status());
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read a command", absl::StrCat(kSelect, "WHERE id = $1::uuid"), command_id));
  if (rows.empty()) return CommandNotFound(command_id);
  return ReadRow("read a command", rows.front(), CommandFrom);
}

absl::StatusOr<std::vector<Command>> PgTransaction::OpenCommands(const std::string& sensor_id) {
  RETURN_IF_ERROR(ExpireCommands(sensor_id, "").status());
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read open commands",
              absl::StrCat(kSelect, "WHERE sensor_id = $1::uuid AND finished_at IS NULL ORDER BY created_at, id"),
              sensor_id));
  return ReadRows("read open commands", rows, CommandFrom);
}

absl::Status PgTransaction::MarkDelivered(const std::vector<std::string>& command_ids) {
  return Execute("mark commands delivered",
                 "UPDATE commands SET state = 'delivered', delivered_at = now()"
                 " WHERE id = ANY ($1::uuid[]) AND state = 'queued'",
                 TextArray(command_ids))
      .status();
}

absl::Status PgTransaction::FinishCommand(const std::string& sensor_id, const std::string& command_id,
                                          const CommandResult& reported) {
  if (!IsUuid(command_id)) return CommandNotFound(command_id);
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("lock a command",
                                                    "SELECT finished_at IS NOT NULL AS finished, kind FROM commands "
                                                    "WHERE id = $1::uuid AND sensor_id = $2::uuid FOR UPDATE",
                                                    command_id, sensor_id));
  if (rows.empty()) return CommandNotFound(command_id);
  if (rows.front()["finished"].as<bool>()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const CommandKind kind, ReadRow("lock a command", rows.front(),
                                                   [](const pqxx::row& row) { return CommandKindFrom(row["kind"]); }));
  const CommandResult result = ResultFor(kind, reported);
  return Execute(
             "store a command's result",
             "UPDATE commands SET state = $2, outcome = $3, found = $4, message = $5, finished_at = clock_timestamp(),"
             " delivered_at = coalesce(delivered_at, now()), evidence = NULLIF($6, ''::bytea) WHERE id = $1::uuid",
             command_id, ToText(StateAfter(result.outcome)), static_cast<int>(result.outcome), WithoutNul(result.found),
             WithoutNul(result.message), Bytes(result.evidence))
      .status();
}

absl::StatusOr<int64_t> PgTransaction::ExpireCommands(const std::string& sensor_id, const std::string& command_id) {
  ASSIGN_OR_RETURN(
      const pqxx::result expired,
      Execute("expire commands",
              "UPDATE commands SET state = 'expired', finished_at = clock_timestamp() WHERE finished_at IS NULL"
              " AND ($1 = '' OR sensor_id = NULLIF($1, '')::uuid) AND ($2 = '' OR id = NULLIF($2, '')::uuid)"
              " AND ((state = 'queued' AND not_after < now())"
              " OR not_after < now() - make_interval(secs => $3::double precision))",
              sensor_id, command_id, absl::ToInt64Seconds(kResultGrace)));
  return static_cast<int64_t>(expired.affected_rows());
}

}  // namespace bulkhead::controlplane
