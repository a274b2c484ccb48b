// What operators signed, as values; see protos/bulkhead/v1/order_statement.proto.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/order_signature.h"
#include "sensor/domain/desired_state.h"
#include "sensor/domain/process_killer.h"
#include "sensor/domain/tamper_guard.h"

namespace bulkhead::sensor {

// Lift what is in the slot of this policy, of which only template, scope and file are set.
struct LiftOrder {
  Policy where;
};

// What a statement says. Its policy has no id and no name.
struct OrderStatement {
  std::vector<std::string> sensor_ids;
  absl::Time issued_at;
  absl::Time expires_at;
  std::variant<Policy, LiftOrder, ProcessIdentity, KillGroup, LowerGuard> order;
};

// As it came: nothing in it is to be believed before its signatures are checked.
struct SignedOrder {
  std::string statement;  // the bytes that were signed
  std::vector<OrderSignature> signatures;
  absl::StatusOr<OrderStatement> says = absl::UnknownError("not read");  // or what is wrong with the bytes
};

}  // namespace bulkhead::sensor
