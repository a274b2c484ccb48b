// Orders about the global isolation rules; each reaches every isolated sensor in the transaction that makes it.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/isolation_rule_input.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

const char* Word(Direction direction) {
  switch (direction) {
    case Direction::kInbound:
      return "inbound";
    case Direction::kOutbound:
      return "outbound";
    case Direction::kAny:
      return "any";
  }
  return "unknown";
}

std::string RuleTarget(const std::string& rule_id) {
  return absl::StrCat("isolation-rule/", rule_id);
}

JsonObject Details(const RuleChanged& changed) {
  const IsolationRule& rule = changed.rule;
  JsonObject details;
  details.Add("address", rule.remote.ToString()).Add("protocol", uint64_t{rule.protocol});
  details.Add("first_port", uint64_t{rule.first_port}).Add("last_port", uint64_t{rule.last_port});
  details.Add("direction", Word(rule.direction)).AddIfSet("description", rule.description);
  details.Add("sensors_affected", uint64_t{changed.sensors_affected});
  return details;
}

// The same checks that a request went through, for a rule that comes another way.
absl::Status Validate(const IsolationRule& rule) {
  IsolationRuleInput input;
  input.address = rule.remote.is_any() ? "" : rule.remote.ToString();
  input.has_ports = rule.first_port != 0 || rule.last_port != 0;
  input.first_port = rule.first_port;
  input.last_port = rule.last_port;
  input.protocol = rule.protocol;
  input.direction = static_cast<int>(rule.direction);
  input.description = rule.description;
  return ParseIsolationRule(input).status();
}

}  // namespace

absl::StatusOr<RuleChanged> CreateIsolationRule(Transaction& tx, const OrderContext& context, IsolationRule rule,
                                                absl::Time now) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(Validate(rule));
  ASSIGN_OR_RETURN(const int64_t count, tx.CountIsolationRules());
  if (count >= kMaxIsolationRules) return TooManyIsolationRules(kMaxIsolationRules);
  rule.id = NewUuid();
  rule.created_at = now;
  rule.created_by = context.actor;
  RETURN_IF_ERROR(tx.InsertIsolationRule(rule));
  RuleChanged out;
  ASSIGN_OR_RETURN(out.rule, tx.GetIsolationRule(rule.id));
  ASSIGN_OR_RETURN(out.sensors_affected, tx.BumpIsolatedSensors());
  RETURN_IF_ERROR(Audit(tx, context, "isolation_rule_created", RuleTarget(rule.id), false, Details(out)));
  return out;
}

absl::StatusOr<RuleChanged> DeleteIsolationRule(Transaction& tx, const OrderContext& context,
                                                const std::string& rule_id) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateUuid("id", rule_id));
  RuleChanged out;
  ASSIGN_OR_RETURN(out.rule, tx.GetIsolationRule(rule_id));
  RETURN_IF_ERROR(tx.DeleteIsolationRule(rule_id));
  ASSIGN_OR_RETURN(out.sensors_affected, tx.BumpIsolatedSensors());
  RETURN_IF_ERROR(Audit(tx, context, "isolation_rule_deleted", RuleTarget(rule_id), false, Details(out)));
  return out;
}

}  // namespace bulkhead::controlplane::orders
