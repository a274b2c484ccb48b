// What every order that becomes a command begins with.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane::orders {

// A command with id, sensor, times and author; what it orders is for the caller to fill in. `ttl` zero: the default.
absl::StatusOr<Command> NewCommand(const Sensor& sensor, const OrderContext& context, absl::Duration ttl,
                                   absl::Time now);

// The sensor of a command, locked; refused when it takes no orders.
absl::StatusOr<Sensor> LockForCommand(Transaction& tx, const OrderContext& context, const std::string& sensor);

}  // namespace bulkhead::controlplane::orders
