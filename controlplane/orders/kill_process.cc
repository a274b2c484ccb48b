// The orders to kill one process, or several.
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/domain/policy_name.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/new_command.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

// The number alone may belong to another process by the time the order arrives.
ProcessIdentity Pinned(ProcessIdentity process, const Sensor& target, absl::Time now) {
  if (process.boot_id.empty()) process.boot_id = target.report.boot_id;
  process.not_started_after = now;
  return process;
}

void AddProcess(const ProcessIdentity& process, JsonObject* details) {
  details->Add("pid", uint64_t{process.pid});
  details->AddIfSet("executable", process.executable).AddIfSet("boot_id", process.boot_id);
  if (process.start_time_ticks != 0) details->Add("start_time_ticks", process.start_time_ticks);
}

// What each kind of group is checked for, stored as and audited with.
absl::Status Check(const ProcessIdentity& root) {
  return ValidateProcess("group.tree", root);
}
absl::Status Check(const RunningFile& file) {
  return ValidateRunningFile("group.file", file);
}
absl::Status Check(const Scope& scope) {
  return ValidateScope("group.scope", scope);
}

void Fill(const ProcessIdentity& root, const Sensor& target, Command* command, JsonObject* details) {
  command->kind = CommandKind::kKillTree;
  command->process = Pinned(root, target, command->created_at);
  details->Add("group", "tree");
  AddProcess(command->process, details);
}
void Fill(const RunningFile& file, const Sensor&, Command* command, JsonObject* details) {
  command->kind = CommandKind::kKillFile;
  command->file = file;
  details->Add("group", "file");
  details->AddIfSet("path", file.path).AddIfSet("sha256", ToHex(file.sha256));
}
void Fill(const Scope& scope, const Sensor&, Command* command, JsonObject* details) {
  command->kind = CommandKind::kKillScope;
  command->scope = scope;
  details->Add("group", "scope");
  details->Add("scope", ScopeWord(scope));
}

}  // namespace

absl::StatusOr<Command> KillProcess(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                    ProcessIdentity process, absl::Duration ttl, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  RETURN_IF_ERROR(ValidateProcess("process", process));
  ASSIGN_OR_RETURN(const Sensor target, LockForCommand(tx, context, sensor));
  ASSIGN_OR_RETURN(Command command, NewCommand(target, context, ttl, now));
  command.process = Pinned(std::move(process), target, now);
  RETURN_IF_ERROR(tx.InsertCommand(command));
  JsonObject details;
  details.Add("command_id", command.id);
  AddProcess(command.process, &details);
  RETURN_IF_ERROR(Audit(tx, context, "process_kill_ordered", SensorTarget(target.id), false, details));
  return tx.GetCommand(command.id);
}

absl::StatusOr<Command> KillProcesses(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                      const KillGroup& group, absl::Duration ttl, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  RETURN_IF_ERROR(std::visit([](const auto& wanted) { return Check(wanted); }, group));
  ASSIGN_OR_RETURN(const Sensor target, LockForCommand(tx, context, sensor));
  ASSIGN_OR_RETURN(Command command, NewCommand(target, context, ttl, now));
  JsonObject details;
  details.Add("command_id", command.id);
  std::visit([&](const auto& wanted) { Fill(wanted, target, &command, &details); }, group);
  RETURN_IF_ERROR(tx.InsertCommand(command));
  RETURN_IF_ERROR(Audit(tx, context, "processes_kill_ordered", SensorTarget(target.id), false, details));
  return tx.GetCommand(command.id);
}

}  // namespace bulkhead::controlplane::orders
