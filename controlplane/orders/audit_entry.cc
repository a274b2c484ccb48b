// The audit record that every order writes.
#include "controlplane/orders/audit_entry.h"

#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane::orders {

absl::Status Audit(Transaction& tx, const OrderContext& context, const std::string& action, const std::string& target,
                   bool unchanged, JsonObject details) {
  AuditRecord record;
  record.actor = context.actor;
  record.action = action;
  record.target = target;
  record.request_id = context.request_id;
  record.outcome = unchanged ? "unchanged" : "applied";
  record.details_json = details.AddIfSet("reason", context.reason).AddIfSet("call", context.call_id).ToString();
  return tx.AppendAudit(record);
}

std::string SensorTarget(const std::string& sensor_id) {
  return absl::StrCat("sensor/", sensor_id);
}

std::string RolloutRecordTarget(const std::string& rollout_id) {
  return absl::StrCat("rollout/", rollout_id);
}

}  // namespace bulkhead::controlplane::orders
