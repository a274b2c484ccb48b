// The order to kill one process.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/new_command.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {

absl::StatusOr<Command> KillProcess(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                    ProcessIdentity process, absl::Duration ttl, absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", sensor));
  RETURN_IF_ERROR(ValidateProcess(process));
  ASSIGN_OR_RETURN(const Sensor target, LockForCommand(tx, context, sensor));
  ASSIGN_OR_RETURN(Command command, NewCommand(target, context, ttl, now));
  command.process = std::move(process);
  // The number alone may belong to another process by the time the order arrives.
  if (command.process.boot_id.empty()) command.process.boot_id = target.report.boot_id;
  command.process.not_started_after = now;
  RETURN_IF_ERROR(tx.InsertCommand(command));
  JsonObject details;
  details.Add("command_id", command.id).Add("pid", uint64_t{command.process.pid});
  details.AddIfSet("executable", command.process.executable).AddIfSet("boot_id", command.process.boot_id);
  if (command.process.start_time_ticks != 0) details.Add("start_time_ticks", command.process.start_time_ticks);
  RETURN_IF_ERROR(Audit(tx, context, "process_kill_ordered", SensorTarget(target.id), false, details));
  return tx.GetCommand(command.id);
}

}  // namespace bulkhead::controlplane::orders
