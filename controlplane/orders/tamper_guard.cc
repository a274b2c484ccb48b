// The orders to a sensor's tamper guard.
#include "common/guard_code.h"
#include "common/status_macros.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/new_command.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {

absl::StatusOr<Command> LowerGuard(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                   absl::Duration duration, absl::Duration ttl, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  ASSIGN_OR_RETURN(duration, ValidateGuardDown(duration));
  ASSIGN_OR_RETURN(const Sensor target, LockForCommand(tx, context, sensor));
  ASSIGN_OR_RETURN(Command command, NewCommand(target, context, ttl, now));
  command.kind = CommandKind::kLowerGuard;
  command.guard_down = duration;
  RETURN_IF_ERROR(tx.InsertCommand(command));
  JsonObject details;
  details.Add("command_id", command.id).Add("seconds", static_cast<uint64_t>(absl::ToInt64Seconds(duration)));
  RETURN_IF_ERROR(Audit(tx, context, "guard_lower_ordered", SensorTarget(target.id), false, details));
  return tx.GetCommand(command.id);
}

absl::StatusOr<GuardCodeCreated> CreateGuardCode(Transaction& tx, const OrderContext& context,
                                                 const std::string& sensor, absl::Duration ttl, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  ASSIGN_OR_RETURN(const Sensor target, LockForCommand(tx, context, sensor));
  ASSIGN_OR_RETURN(Command command, NewCommand(target, context, ttl, now));
  GuardCodeCreated created;
  created.code = NewGuardCode();
  command.kind = CommandKind::kSetGuardCode;
  ASSIGN_OR_RETURN(command.guard_code_hash, GuardCodeHash(target.id, created.code));
  RETURN_IF_ERROR(tx.InsertCommand(command));
  JsonObject details;
  details.Add("command_id", command.id);
  RETURN_IF_ERROR(Audit(tx, context, "guard_code_created", SensorTarget(target.id), false, details));
  ASSIGN_OR_RETURN(created.command, tx.GetCommand(command.id));
  return created;
}

}  // namespace bulkhead::controlplane::orders
