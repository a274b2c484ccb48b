// The order inside a rollout: checked when the rollout is created, given to one sensor at a time.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "controlplane/api/api_context.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane {

// Fills kind, order and allow_degraded of a rollout. InvalidField when there is no order, or when it names a sensor or
// carries what belongs to one call.
absl::StatusOr<Rollout> RolloutWith(const v1::RolloutOrder& order);

// Gives one sensor the order of a rollout exactly as its own RPC would; what it refuses, this refuses, with the field
// as it is called in the rollout: "order.contain.lease".
orders::RolloutOrderer RolloutOrdererFor(const ApiContext& api);

}  // namespace bulkhead::controlplane
