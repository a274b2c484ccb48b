// Policies whose lease is over: the kernel let go of them already, here they leave the desired state.
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

constexpr int kMostAtOnce = 256;

// False: another replica, or an operator, was faster.
absl::StatusOr<bool> EndPolicy(Transaction& tx, const Policy& expired, absl::Time now) {
  const absl::StatusOr<Sensor> sensor = tx.GetSensor(expired.sensor_id, /*lock=*/true);
  if (absl::IsNotFound(sensor.status())) return false;
  RETURN_IF_ERROR(sensor.status());
  // Read again behind the lock.
  const absl::StatusOr<Policy> policy = tx.GetPolicy(expired.id);
  if (absl::IsNotFound(policy.status())) return false;
  RETURN_IF_ERROR(policy.status());
  if (!policy->expires_at || *policy->expires_at > now) return false;
  RETURN_IF_ERROR(tx.DeletePolicy(policy->id));
  RETURN_IF_ERROR(tx.BumpGeneration(sensor->id));
  JsonObject details;
  details.Add("policy_id", policy->id).Add("policy", policy->name).AddIfSet("path", policy->binary_path);
  details.Add("expired_at", absl::FormatTime(absl::RFC3339_full, *policy->expires_at, absl::UTCTimeZone()));
  OrderContext context;
  context.actor = kSystemActor;
  RETURN_IF_ERROR(Audit(tx, context, "policy_expired", SensorTarget(sensor->id), false, details));
  return true;
}

}  // namespace

absl::StatusOr<int> EndExpiredPolicies(Store& store, absl::Time now) {
  std::vector<Policy> expired;
  RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(expired, tx.ExpiredPolicies(now, kMostAtOnce));
    return absl::OkStatus();
  }));
  int ended = 0;
  for (const Policy& policy : expired) {
    bool changed = false;
    RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(changed, EndPolicy(tx, policy, now));
      return absl::OkStatus();
    }));
    if (changed) ++ended;
  }
  return ended;
}

}  // namespace bulkhead::controlplane::orders
