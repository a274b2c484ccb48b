// The audit record that every order writes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "controlplane/domain/json_object.h"
#include "controlplane/domain/types.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane::orders {

// Appends the record of an order: who (context.actor), what (`action`), to what (`target`), and whether it changed
// anything. The caller's reason, and the id of its
// call in the access log ("call"), are added to `details`.
absl::Status Audit(Transaction& tx, const OrderContext& context, const std::string& action, const std::string& target,
                   bool unchanged, JsonObject details = {});

// "sensor/<id>": the target of every record about a sensor, its policies and its commands, so that one filter finds
// them all.
std::string SensorTarget(const std::string& sensor_id);

// "rollout/<id>".
std::string RolloutRecordTarget(const std::string& rollout_id);

}  // namespace bulkhead::controlplane::orders
