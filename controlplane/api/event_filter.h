// Which events a caller wants, from the requests that can say so.
#pragma once

#include "absl/status/statusor.h"
#include "controlplane/api/api_context.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/event.h"
#include "controlplane/domain/validate.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {

// For ListEvents and WatchEvents. InvalidField names what is wrong; SensorNotFound for a name that no sensor has.
// Blocks.
template <typename Request>
absl::StatusOr<EventFilter> EventFilterOf(const ApiContext& api, const Request& request) {
  EventFilter filter{.kind = request.kind(), .policy_id = request.policy_id()};
  ASSIGN_OR_RETURN(filter.sensor_id, SensorIdOf(api, request.sensor()));
  if (!filter.policy_id.empty()) RETURN_IF_ERROR(ValidateUuid("policy_id", filter.policy_id));
  if (request.has_since()) filter.since = FromProto(request.since());
  if constexpr (requires { request.until(); }) {
    if (request.has_until()) filter.until = FromProto(request.until());
  }
  if (filter.since && filter.until && *filter.until < *filter.since) {
    return InvalidField("until", "must not be before since");
  }
  return filter;
}

}  // namespace bulkhead::controlplane
