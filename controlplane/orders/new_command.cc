// What every order that becomes a command begins with.
#include "controlplane/orders/new_command.h"

#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/order_check.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane::orders {

absl::StatusOr<Sensor> LockForCommand(Transaction& tx, const OrderContext& context, const std::string& sensor) {
  ASSIGN_OR_RETURN(Sensor target, tx.GetSensor(sensor, /*lock=*/true));
  RETURN_IF_ERROR(CheckTakesOrders(target));
  RETURN_IF_ERROR(CheckEtag(target, context));
  return target;
}

absl::StatusOr<Command> NewCommand(const Sensor& sensor, const OrderContext& context, absl::Duration ttl,
                                   absl::Time now) {
  ASSIGN_OR_RETURN(ttl, ValidateCommandTtl(ttl));
  Command command;
  command.id = NewUuid();
  command.sensor_id = sensor.id;
  command.created_at = now;
  command.not_after = now + ttl;
  command.created_by = context.actor;
  command.signed_order = context.signed_order;
  return command;
}

}  // namespace bulkhead::controlplane::orders
