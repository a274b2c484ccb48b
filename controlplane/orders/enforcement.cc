// Orders that change what a host enforces: contain, isolate, block a binary, release, lift a policy.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/block_list.h"
#include "controlplane/domain/dangerous_binaries.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/order_check.h"
#include "controlplane/domain/policy_name.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

const char* Word(PolicyAction action) {
  switch (action) {
    case PolicyAction::kDeny:
      return "deny";
    case PolicyAction::kSigkill:
      return "sigkill";
    case PolicyAction::kNotify:
      return "notify";
  }
  return "unknown";
}

// What is wanted, and the policy that is there already, if any.
struct Wanted {
  Policy policy;
  const Policy* existing = nullptr;
  std::string audit_action;
  bool allow_degraded = false;

  Wanted(PolicyTemplate policy_template, const PolicyTerms& terms) : allow_degraded(terms.allow_degraded) {
    policy.policy_template = policy_template;
    policy.action = terms.action;
    policy.expires_at = terms.expires_at;
    policy.on_expiry = terms.on_expiry;
    policy.on_unreachable = terms.on_unreachable;
    policy.scope = terms.scope;
    policy.signed_order = terms.signed_order;
  }
};

// What the audit log's digest of a list is over: what `sha256sum` says of the list's file.
std::string AllowListText(const AllowList& list) {
  std::string text;
  for (const AllowedBinary& binary : list.binaries) {
    const char* const space = binary.path.empty() || binary.sha256.empty() ? "" : "  ";
    absl::StrAppend(&text, ToHex(binary.sha256), space, binary.path, "\n");
  }
  return text;
}

// Everything that an order can choose about a policy but its template and path. An order that is not signed does not
// take the signatures of the present one away.
bool SameTerms(const Policy& a, const Policy& b) {
  return a.action == b.action && a.expires_at == b.expires_at && a.on_expiry == b.on_expiry &&
         a.on_unreachable == b.on_unreachable && a.binary_sha256 == b.binary_sha256 &&
         a.block_list.sha256 == b.block_list.sha256 && a.kill_running == b.kill_running && a.forced == b.forced &&
         a.allow_list == b.allow_list && (b.signed_order.empty() || a.signed_order == b.signed_order);
}

JsonObject Details(const Wanted& wanted, const Policy& policy) {
  JsonObject details;
  details.Add("policy_id", policy.id).Add("policy", policy.name).Add("action", Word(policy.action));
  details.AddIfSet("path", policy.binary_path).AddIfSet("sha256", ToHex(policy.binary_sha256));
  details.AddIfSet("scope", policy.scope ? ScopeWord(*policy.scope) : "");
  if (!policy.block_list.name.empty()) {
    details.Add("list", policy.block_list.name).Add("binaries", absl::StrCat(policy.block_list.size));
    details.Add("list_sha256", ToHex(policy.block_list.sha256));
  }
  if (policy.kill_running) details.AddBool("kill_running", true);
  if (policy.policy_template == PolicyTemplate::kAllowList) {
    details.Add("binaries", absl::StrCat(policy.allow_list.binaries.size()));
    details.Add("list_sha256", ToHex(Sha256(AllowListText(policy.allow_list))));
    if (policy.allow_list.learn) details.AddBool("learn", true);
  }
  if (policy.forced) details.AddBool("forced", true);
  if (!policy.signed_order.empty()) details.AddBool("signed", true);
  if (wanted.allow_degraded) details.AddBool("allow_degraded", true);
  if (policy.expires_at) {
    details.Add("expires_at", absl::FormatTime(absl::RFC3339_full, *policy.expires_at, absl::UTCTimeZone()));
    details.Add("on_expiry", policy.on_expiry == OnExpiry::kHold ? "hold" : "release");
  }
  if (policy.on_unreachable == OnUnreachable::kHold) details.Add("on_unreachable", "hold");
  if (wanted.existing != nullptr && wanted.existing->action != wanted.policy.action) {
    details.Add("action_before", Word(wanted.existing->action));
  }
  return details;
}

// The sensor, locked, when it takes orders and is as the caller saw it.
absl::StatusOr<Sensor> LockForOrder(Transaction& tx, const OrderContext& context, const std::string& reference,
                                    bool allow_cloned = false) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateSensorReference("sensor", reference));
  ASSIGN_OR_RETURN(Sensor sensor, tx.GetSensor(reference, /*lock=*/true));
  RETURN_IF_ERROR(CheckTakesOrders(sensor, allow_cloned));
  RETURN_IF_ERROR(CheckEtag(sensor, context));
  return sensor;
}

absl::Status CheckBinaryOrder(const BinaryOrder& order, const PolicyTerms& terms) {
  if (order.kill_running && terms.action == PolicyAction::kNotify) {
    return InvalidField("binary.kill_running", "must be unset with NOTIFY, which stops nothing");
  }
  const bool names_file = !order.path.empty() || !order.sha256.empty();
  if (!order.list_name.empty() || !order.list.empty()) {
    return names_file ? InvalidField("binary.list", "is set, and so is a path or a sha256; put the file into the list")
                      : absl::OkStatus();
  }
  if (!names_file) {
    return InvalidField("binary.path", "is empty, and so is binary.sha256; one of them must name the file");
  }
  if (!order.sha256.empty()) RETURN_IF_ERROR(ValidateSha256("binary.sha256", order.sha256));
  if (order.path.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(ValidateBinaryPath("binary.path", order.path));
  return CheckBlockable("binary.path", order.path, order.force);
}

bool NamesSameFile(const Policy& policy, const BinaryOrder& order) {
  if (!order.list_name.empty() || !policy.block_list.name.empty()) return policy.block_list.name == order.list_name;
  return policy.binary_path == order.path && (!order.path.empty() || policy.binary_sha256 == order.sha256);
}

// Puts the wanted policy in force. One that exists with the same terms stays; one with others is replaced in the same
// generation, so that "contain" after a trial run with NOTIFY really cuts, and the host is open at no moment
// in between.
absl::StatusOr<PolicyOrdered> Order(Transaction& tx, const OrderContext& context, const Sensor& sensor, Wanted wanted) {
  PolicyOrdered out;
  out.unchanged = wanted.existing != nullptr && SameTerms(*wanted.existing, wanted.policy);
  if (out.unchanged) {
    out.policy = *wanted.existing;
    RETURN_IF_ERROR(
        Audit(tx, context, wanted.audit_action, SensorTarget(sensor.id), true, Details(wanted, out.policy)));
    out.sensor = sensor;
    return out;
  }
  RETURN_IF_ERROR(CheckTier(sensor, wanted.policy.policy_template, wanted.allow_degraded));
  if (wanted.existing != nullptr) RETURN_IF_ERROR(tx.DeletePolicy(wanted.existing->id));
  wanted.policy.id = NewUuid();
  wanted.policy.sensor_id = sensor.id;
  wanted.policy.created_by = context.actor;
  wanted.policy.etag = wanted.policy.id.substr(0, 8);
  RETURN_IF_ERROR(tx.InsertPolicy(wanted.policy));
  RETURN_IF_ERROR(tx.BumpGeneration(sensor.id));
  ASSIGN_OR_RETURN(out.policy, tx.GetPolicy(wanted.policy.id));
  RETURN_IF_ERROR(Audit(tx, context, wanted.audit_action, SensorTarget(sensor.id), false, Details(wanted, out.policy)));
  ASSIGN_OR_RETURN(out.sensor, tx.GetSensor(sensor.id, /*lock=*/false));
  return out;
}

absl::Status CheckScopedPolicies(const Sensor& sensor) {
  const auto count = std::count_if(sensor.policies.begin(), sensor.policies.end(), [](const Policy& policy) {
    return policy.scope && (policy.policy_template == PolicyTemplate::kNetworkContainment ||
                            policy.policy_template == PolicyTemplate::kNetworkIsolation);
  });
  if (count < static_cast<int64_t>(kMaxScopedPolicies)) return absl::OkStatus();
  return TooManyScopedPolicies(sensor.name, kMaxScopedPolicies);
}

absl::Status CheckBlockedBinaries(const Sensor& sensor, const Wanted& wanted) {
  const size_t replaced = wanted.existing != nullptr ? wanted.existing->block_list.size : 0;
  const size_t count = CountBlockedBinaries(sensor.policies) - replaced + wanted.policy.block_list.size;
  if (wanted.policy.block_list.size == 0 || count <= kMaxBlockedBinaries) return absl::OkStatus();
  return TooManyBlockedBinaries(sensor.name, count, kMaxBlockedBinaries);
}

// Containment and isolation, named `name` when they have no scope.
absl::StatusOr<PolicyOrdered> OrderWall(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                        Wanted wanted, const char* name) {
  const std::optional<Scope>& scope = wanted.policy.scope;
  if (scope) RETURN_IF_ERROR(ValidateScope("scope", *scope));
  ASSIGN_OR_RETURN(const Sensor target, LockForOrder(tx, context, sensor, wanted.allow_degraded));
  wanted.existing = target.Find(wanted.policy.policy_template, scope);
  if (scope && wanted.existing == nullptr) RETURN_IF_ERROR(CheckScopedPolicies(target));
  wanted.policy.name =
      wanted.existing != nullptr ? wanted.existing->name : ScopedPolicyName(name, scope, target.policies);
  return Order(tx, context, target, std::move(wanted));
}

}  // namespace

absl::StatusOr<PolicyOrdered> ContainSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                            const PolicyTerms& terms) {
  Wanted wanted(PolicyTemplate::kNetworkContainment, terms);
  wanted.audit_action = "sensor_contained";
  return OrderWall(tx, context, sensor, std::move(wanted), kContainmentPolicyName);
}

absl::StatusOr<PolicyOrdered> IsolateSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                            const PolicyTerms& terms) {
  if (terms.action == PolicyAction::kSigkill) {
    return InvalidField("action", "SIGKILL is not an action of isolation; leave it unset, or use NOTIFY for a shadow");
  }
  Wanted wanted(PolicyTemplate::kNetworkIsolation, terms);
  wanted.audit_action = "sensor_isolated";
  return OrderWall(tx, context, sensor, std::move(wanted), kIsolationPolicyName);
}

absl::StatusOr<PolicyOrdered> BlockBinary(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                          const BinaryOrder& order, const PolicyTerms& terms) {
  RETURN_IF_ERROR(CheckBinaryOrder(order, terms));
  Wanted wanted(PolicyTemplate::kBlockBinary, terms);
  const bool is_list = !order.list_name.empty() || !order.list.empty();
  if (is_list) {
    ASSIGN_OR_RETURN(wanted.policy.block_list, MakeBlockList("binary.list", order.list_name, order.list, order.force));
  }
  ASSIGN_OR_RETURN(const Sensor target, LockForOrder(tx, context, sensor, terms.allow_degraded));
  for (const Policy& policy : target.policies) {
    if (policy.policy_template == PolicyTemplate::kBlockBinary && NamesSameFile(policy, order)) {
      wanted.existing = &policy;
    }
  }
  RETURN_IF_ERROR(CheckBlockedBinaries(target, wanted));
  if (is_list) {
    wanted.policy.name = absl::StrCat(kBlockListPrefix, order.list_name);
  } else if (wanted.existing != nullptr) {
    wanted.policy.name = wanted.existing->name;
  } else {
    wanted.policy.name = BlockBinaryPolicyName(order.path, order.sha256, target.policies);
  }
  wanted.policy.binary_path = order.path;
  wanted.policy.binary_sha256 = order.sha256;
  wanted.policy.kill_running = order.kill_running;
  wanted.policy.forced = order.force;
  wanted.audit_action = "binary_blocked";
  return Order(tx, context, target, std::move(wanted));
}

absl::StatusOr<PolicyOrdered> SetAllowList(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                           AllowList list, const PolicyTerms& terms, bool kill_running) {
  if (!terms.scope) {
    return InvalidField("scope",
                        "must name a cgroup, a systemd_unit or a container; a list for the whole host stops it");
  }
  RETURN_IF_ERROR(ValidateScope("scope", *terms.scope));
  RETURN_IF_ERROR(ValidateAllowList("allow_list", list));
  if (kill_running && (list.learn || terms.action == PolicyAction::kNotify)) {
    return InvalidField("allow_list.kill_running", "must be unset with learn or NOTIFY, which stop nothing");
  }
  ASSIGN_OR_RETURN(const Sensor target, LockForOrder(tx, context, sensor, terms.allow_degraded));
  std::sort(list.binaries.begin(), list.binaries.end());
  list.binaries.erase(std::unique(list.binaries.begin(), list.binaries.end()), list.binaries.end());
  Wanted wanted(PolicyTemplate::kAllowList, terms);
  wanted.existing = target.Find(PolicyTemplate::kAllowList, terms.scope);
  wanted.policy.name = wanted.existing != nullptr
                           ? wanted.existing->name
                           : ScopedPolicyName(kAllowListPolicyName, terms.scope, target.policies);
  wanted.policy.allow_list = std::move(list);
  wanted.policy.kill_running = kill_running;
  wanted.audit_action = "allow_list_set";
  return Order(tx, context, target, std::move(wanted));
}

absl::StatusOr<Released> ReleaseSensor(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                       std::optional<PolicyTemplate> only, const std::optional<Scope>& scope) {
  if (only == PolicyTemplate::kBlockBinary || only == PolicyTemplate::kAllowList) {
    return InvalidField(
        "only",
        "must be NETWORK_CONTAINMENT, NETWORK_ISOLATION or unset; a block or an allow-list is lifted by "
        "deleting its policy");
  }
  if (scope) RETURN_IF_ERROR(ValidateScope("scope", *scope));
  Released out;
  ASSIGN_OR_RETURN(out.sensor, LockForOrder(tx, context, sensor));
  JsonObject details;
  details.AddIfSet("scope", scope ? ScopeWord(*scope) : "");
  out.unchanged = true;
  for (const PolicyTemplate lifted : {PolicyTemplate::kNetworkContainment, PolicyTemplate::kNetworkIsolation}) {
    const Policy* const policy = out.sensor.Find(lifted, scope);
    if (policy == nullptr || only.value_or(lifted) != lifted) continue;
    RETURN_IF_ERROR(tx.DeletePolicy(policy->id));
    details.Add(policy->name, policy->id);
    out.unchanged = false;
  }
  if (!out.unchanged) RETURN_IF_ERROR(tx.BumpGeneration(out.sensor.id));
  RETURN_IF_ERROR(Audit(tx, context, "sensor_released", SensorTarget(out.sensor.id), out.unchanged, details));
  ASSIGN_OR_RETURN(out.sensor, tx.GetSensor(out.sensor.id, /*lock=*/false));
  return out;
}

absl::StatusOr<Sensor> LiftSigned(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                  const PolicySlot& slot) {
  ASSIGN_OR_RETURN(const Sensor target, LockForOrder(tx, context, sensor));
  JsonObject details;
  details.AddIfSet("scope", slot.scope ? ScopeWord(*slot.scope) : "").AddIfSet("path", slot.binary_path);
  details.AddIfSet("sha256", ToHex(slot.binary_sha256)).AddIfSet("list", slot.list_name).AddBool("signed", true);
  for (const Policy& policy : target.policies) {
    if (!slot.Holds(policy)) continue;
    RETURN_IF_ERROR(tx.DeletePolicy(policy.id));
    details.Add("policy_id", policy.id).Add("policy", policy.name);
  }
  const std::string scope = slot.scope ? ScopeWord(*slot.scope) : "";
  RETURN_IF_ERROR(tx.PutSignedRelease(
      {target.id,
       absl::StrCat(static_cast<int>(slot.policy_template), " ", scope, " ", slot.binary_path, " ",
                    ToHex(slot.binary_sha256), slot.list_name.empty() ? "" : absl::StrCat(" ", slot.list_name)),
       context.signed_order, context.signed_until}));
  // Also when there was nothing here: the sensor may keep what was taken out of this database without a signature.
  RETURN_IF_ERROR(tx.BumpGeneration(target.id));
  const bool is_network = slot.policy_template == PolicyTemplate::kNetworkContainment ||
                          slot.policy_template == PolicyTemplate::kNetworkIsolation;
  RETURN_IF_ERROR(
      Audit(tx, context, is_network ? "sensor_released" : "policy_deleted", SensorTarget(target.id), false, details));
  return tx.GetSensor(target.id, /*lock=*/false);
}

absl::StatusOr<Policy> DeletePolicy(Transaction& tx, const OrderContext& context, const std::string& policy_id) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateUuid("id", policy_id));
  ASSIGN_OR_RETURN(const Policy found, tx.GetPolicy(policy_id));
  ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(found.sensor_id, /*lock=*/true));
  RETURN_IF_ERROR(CheckTakesOrders(sensor));
  // Read again behind the lock: another operator may have deleted it while this order waited.
  ASSIGN_OR_RETURN(Policy policy, tx.GetPolicy(policy_id));
  if (!context.etag.empty() && context.etag != policy.etag) return StaleEtag("policy", policy.name);
  RETURN_IF_ERROR(tx.DeletePolicy(policy.id));
  RETURN_IF_ERROR(tx.BumpGeneration(sensor.id));
  JsonObject details;
  details.Add("policy_id", policy.id).Add("policy", policy.name).AddIfSet("path", policy.binary_path);
  details.AddIfSet("sha256", ToHex(policy.binary_sha256));
  details.AddIfSet("scope", policy.scope ? ScopeWord(*policy.scope) : "");
  RETURN_IF_ERROR(Audit(tx, context, "policy_deleted", SensorTarget(sensor.id), false, details));
  return policy;
}

}  // namespace bulkhead::controlplane::orders
