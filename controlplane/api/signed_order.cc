// Signed orders: what a statement says, whether it may be given, and how it is given.
#include "controlplane/api/signed_order.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/uuid.h"
#include "controlplane/api/api_convert.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/orders.h"
#include "controlplane/rpc/convert.h"
#include "controlplane/rpc/request_parser.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kLargestStatement = 1 << 20;
constexpr size_t kNonceBytes = 16;
constexpr uint32_t kVersion = 1;
constexpr int kMostSensors = 1000;
constexpr absl::Duration kLongestStatement = absl::Hours(24 * 30);
constexpr absl::Duration kLongestTtl = absl::Hours(24 * 14);
constexpr char kField[] = "order.statement";

std::string Field(absl::string_view name) {
  return absl::StrCat(kField, ".", name);
}

absl::Status CheckTimes(const v1::OrderStatement& statement, absl::Time now) {
  if (!statement.has_issued_at() || !statement.has_expires_at()) {
    return InvalidField(Field("expires_at"), "must be set, and issued_at too");
  }
  const absl::Time issued_at = FromProto(statement.issued_at()), expires_at = FromProto(statement.expires_at());
  if (expires_at <= issued_at || expires_at > issued_at + kLongestStatement) {
    return InvalidField(Field("expires_at"), "must be within 30 days after issued_at");
  }
  return expires_at < now ? OrderExpired(expires_at) : absl::OkStatus();
}

absl::Status CheckAudience(const v1::OrderStatement& statement) {
  if (statement.sensor_ids().empty() || statement.sensor_ids_size() > kMostSensors) {
    return InvalidField(Field("sensor_ids"), absl::StrCat("must list 1 to ", kMostSensors, " sensors"));
  }
  std::set<std::string> seen;
  for (const std::string& id : statement.sensor_ids()) {
    if (!IsUuid(id)) return InvalidField(Field("sensor_ids"), "must be UUIDs; a name can be given to another sensor");
    if (!seen.insert(id).second) return InvalidField(Field("sensor_ids"), "must list each sensor once");
  }
  return absl::OkStatus();
}

std::vector<OrderSignature> SignaturesOf(const v1::SignedOrder& order) {
  std::vector<OrderSignature> out;
  for (const v1::OrderSignature& signature : order.signatures()) {
    out.push_back({signature.key_id(), signature.signature()});
  }
  return out;
}

absl::StatusOr<PolicySlot> SlotOf(const v1::OrderStatement& statement) {
  PolicySlot slot;
  const bool lift = statement.has_lift();
  const v1::EnforcementPolicy& policy = statement.policy();
  slot.policy_template = static_cast<PolicyTemplate>(lift ? statement.lift().template_() : policy.template_());
  if (lift ? statement.lift().has_scope() : policy.has_scope()) {
    ASSIGN_OR_RETURN(slot.scope, FromProto(lift ? statement.lift().scope() : policy.scope(), Field("scope")));
  }
  slot.binary_path = lift ? statement.lift().path() : policy.block_binary().path();
  slot.list_name = lift ? statement.lift().list() : policy.block_binary().list().name();
  slot.binary_sha256 = lift ? statement.lift().sha256() : policy.block_binary().sha256();
  return slot;
}

OrderKind LiftOf(v1::PolicyTemplate policy_template) {
  return policy_template == v1::POLICY_TEMPLATE_BLOCK_BINARY || policy_template == v1::POLICY_TEMPLATE_ALLOW_LIST
             ? OrderKind::kUnblock
             : OrderKind::kRelease;
}

absl::StatusOr<PolicyTerms> TermsOf(const v1::EnforcementPolicy& policy, bool allow_degraded, absl::Time now) {
  if (policy.action() == v1::POLICY_ACTION_UNSPECIFIED) {
    return InvalidField(Field("policy.action"), "must be set; what is signed leaves nothing open");
  }
  PolicyTerms terms;
  terms.action = static_cast<PolicyAction>(policy.action());
  terms.allow_degraded = allow_degraded;
  if (policy.has_expires_at()) {
    terms.expires_at = FromProto(policy.expires_at());
    RETURN_IF_ERROR(ValidateExpiry(Field("policy.expires_at"), *terms.expires_at, now));
  }
  if (policy.on_expiry() == v1::ON_EXPIRY_HOLD) terms.on_expiry = OnExpiry::kHold;
  if (policy.on_unreachable() == v1::ON_UNREACHABLE_HOLD) terms.on_unreachable = OnUnreachable::kHold;
  if (policy.has_scope()) {
    ASSIGN_OR_RETURN(terms.scope, FromProto(policy.scope(), Field("policy.scope")));
  }
  return terms;
}

// The sensor compares word for word: what was stored must be what was signed.
absl::Status CheckStored(const Policy& stored, const v1::EnforcementPolicy& wanted) {
  const v1::EnforcementPolicy whole = ToProto(stored);
  v1::EnforcementPolicy content;
  content.set_template_(whole.template_());
  content.set_action(whole.action());
  if (whole.has_block_binary()) *content.mutable_block_binary() = whole.block_binary();
  if (whole.has_allow_list()) *content.mutable_allow_list() = whole.allow_list();
  if (whole.has_scope()) *content.mutable_scope() = whole.scope();
  if (whole.has_expires_at()) *content.mutable_expires_at() = whole.expires_at();
  content.set_on_expiry(whole.on_expiry());
  content.set_on_unreachable(whole.on_unreachable());
  if (SerializeDeterministically(content) == SerializeDeterministically(wanted)) return absl::OkStatus();
  return InvalidField(Field("policy"),
                      absl::StrCat("is not written as it is stored; write: ", content.ShortDebugString()));
}

absl::StatusOr<orders::PolicyOrdered> GivePolicy(Transaction& tx, const OrderContext& context,
                                                 const std::string& sensor, const v1::EnforcementPolicy& policy,
                                                 const PolicyTerms& terms) {
  switch (policy.template_()) {
    case v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT:
      return orders::ContainSensor(tx, context, sensor, terms);
    case v1::POLICY_TEMPLATE_NETWORK_ISOLATION:
      return orders::IsolateSensor(tx, context, sensor, terms);
    case v1::POLICY_TEMPLATE_BLOCK_BINARY: {
      const v1::BlockBinary& binary = policy.block_binary();
      if (binary.has_list()) {
        return InvalidField(Field("policy.block_binary.list"), "is set; a block-list is ordered without signatures");
      }
      return orders::BlockBinary(
          tx, context, sensor, {binary.path(), binary.sha256(), binary.kill_running(), binary.forced(), "", {}}, terms);
    }
    case v1::POLICY_TEMPLATE_ALLOW_LIST: {
      AllowList list;
      list.learn = policy.allow_list().learn();
      for (const v1::AllowedBinary& binary : policy.allow_list().binaries()) {
        list.binaries.push_back({binary.path(), binary.sha256()});
      }
      return orders::SetAllowList(tx, context, sensor, std::move(list), terms, policy.allow_list().kill_running());
    }
    default:
      return InvalidField(Field("policy.template"), "must be set");
  }
}

// The control plane would fill it in, and the sensor would find something else than was signed.
absl::Status CheckBoot(const v1::ProcessIdentity& process) {
  if (!process.boot_id().empty()) return absl::OkStatus();
  return InvalidField(Field("boot_id"), "must be set: a number alone may be another process after a reboot");
}

absl::StatusOr<Command> GiveCommand(Transaction& tx, const OrderContext& context, const std::string& sensor,
                                    const v1::OrderStatement& statement, absl::Time now) {
  const absl::Duration ttl = std::clamp(FromProto(statement.expires_at()) - now, absl::Seconds(1), kLongestTtl);
  switch (statement.order_case()) {
    case v1::OrderStatement::kKillProcess:
      RETURN_IF_ERROR(CheckBoot(statement.kill_process()));
      return orders::KillProcess(tx, context, sensor, FromProto(statement.kill_process(), now), ttl, now);
    case v1::OrderStatement::kKillGroup: {
      if (statement.kill_group().has_tree()) RETURN_IF_ERROR(CheckBoot(statement.kill_group().tree()));
      ASSIGN_OR_RETURN(const orders::KillGroup group, GroupOf(statement.kill_group(), now));
      return orders::KillProcesses(tx, context, sensor, group, ttl, now);
    }
    case v1::OrderStatement::kLowerGuard:
      return orders::LowerGuard(tx, context, sensor, FromProto(statement.lower_guard().duration()), ttl, now);
    default:
      return InvalidField(Field("order"), "must be set");
  }
}

absl::Status GiveTo(const ApiContext& api, Transaction& tx, const OrderContext& context, bool allow_degraded,
                    const std::string& sensor, const v1::OrderStatement& statement, v1::OrderedSensor* result) {
  result->set_sensor_id(sensor);
  if (statement.has_policy()) {
    ASSIGN_OR_RETURN(PolicyTerms terms, TermsOf(statement.policy(), allow_degraded, api.clock->Now()));
    terms.signed_order = context.signed_order;
    ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered, GivePolicy(tx, context, sensor, statement.policy(), terms));
    RETURN_IF_ERROR(CheckStored(ordered.policy, statement.policy()));
    result->set_sensor_name(ordered.sensor.name);
    result->set_generation(ordered.sensor.desired_generation);
    result->set_policy_id(ordered.policy.id);
    return absl::OkStatus();
  }
  if (statement.has_lift()) {
    ASSIGN_OR_RETURN(const PolicySlot slot, SlotOf(statement));
    ASSIGN_OR_RETURN(const Sensor lifted, orders::LiftSigned(tx, context, sensor, slot));
    result->set_sensor_name(lifted.name);
    result->set_generation(lifted.desired_generation);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Command command, GiveCommand(tx, context, sensor, statement, api.clock->Now()));
  ASSIGN_OR_RETURN(const Sensor target, tx.GetSensor(sensor, /*lock=*/false));
  result->set_sensor_name(target.name);
  result->set_command_id(command.id);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::OrderStatement> ReadStatement(const v1::SignedOrder& order, absl::Time now) {
  if (order.statement().empty() || order.statement().size() > kLargestStatement) {
    return InvalidField(kField, "must have 1 byte to 1 MiB");
  }
  if (order.signatures().empty() || order.signatures_size() > static_cast<int>(kMostSignatures)) {
    return InvalidField("order.signatures", absl::StrCat("must be 1 to ", kMostSignatures));
  }
  v1::OrderStatement statement;
  if (const absl::Status parsed = ParseStrictly(order.statement(), &statement); !parsed.ok()) {
    return AtField(parsed, FieldOf(parsed).empty() ? kField : Field(FieldOf(parsed)));
  }
  if (statement.version() != kVersion) return InvalidField(Field("version"), absl::StrCat("must be ", kVersion));
  if (statement.nonce().size() != kNonceBytes) return InvalidField(Field("nonce"), "must have 16 bytes");
  if (statement.order_case() == v1::OrderStatement::ORDER_NOT_SET) return InvalidField(Field("order"), "must be set");
  if (statement.has_lift() && statement.lift().template_() == v1::POLICY_TEMPLATE_UNSPECIFIED) {
    return InvalidField(Field("lift.template"), "must be set");
  }
  RETURN_IF_ERROR(CheckAudience(statement));
  RETURN_IF_ERROR(CheckTimes(statement, now));
  return statement;
}

OrderKind KindOf(const v1::OrderStatement& statement) {
  if (statement.has_lift()) return LiftOf(statement.lift().template_());
  if (statement.has_lower_guard()) return OrderKind::kLowerGuard;
  if (!statement.has_policy()) return OrderKind::kKill;
  switch (statement.policy().template_()) {
    case v1::POLICY_TEMPLATE_NETWORK_ISOLATION:
      return OrderKind::kIsolate;
    case v1::POLICY_TEMPLATE_BLOCK_BINARY:
      return OrderKind::kBlock;
    case v1::POLICY_TEMPLATE_ALLOW_LIST:
      return OrderKind::kAllowList;
    default:
      return OrderKind::kContain;
  }
}

absl::Status CheckRole(Transaction& tx, const OrderContext& context, const v1::OrderStatement& statement) {
  constexpr char kLower[] = "guard:lower";
  if (!statement.has_lower_guard()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Operator giver, tx.GetOperator(context.actor, /*lock=*/false));
  return OperatorHas(giver, kLower) ? absl::OkStatus() : PermissionDenied(giver.name, giver.role, kLower);
}

absl::Status CheckSignatures(const ApiContext& api, const v1::SignedOrder& order) {
  std::set<std::string> keys;
  for (const OrderSignature& signature : SignaturesOf(order)) {
    if (!keys.insert(signature.key_id).second) return InvalidField("order.signatures", "has one key twice");
    if (api.order_keys == nullptr) continue;
    const absl::Status status = api.order_keys->Check(order.statement(), signature);
    if (!status.ok()) return InvalidField("order.signatures", status.message());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> SignaturesRequired(const ApiContext& api, Transaction& tx,
                                            const v1::OrderStatement& statement) {
  if (api.order_keys == nullptr) return 1;
  const uint32_t required = std::max(api.order_keys->Required(KindOf(statement)), 1U);
  if (!statement.has_policy()) return required;
  const uint32_t lift = api.order_keys->Required(LiftOf(statement.policy().template_()));
  if (lift <= required) return required;
  ASSIGN_OR_RETURN(const PolicySlot slot, SlotOf(statement));
  for (const std::string& id : statement.sensor_ids()) {
    ASSIGN_OR_RETURN(const Sensor sensor, tx.GetSensor(id, /*lock=*/false));
    if (std::any_of(sensor.policies.begin(), sensor.policies.end(),
                    [&](const Policy& policy) { return slot.Holds(policy); })) {
      return lift;
    }
  }
  return required;
}

uint32_t SignersOf(const ApiContext& api, const v1::SignedOrder& order) {
  if (api.order_keys == nullptr) return static_cast<uint32_t>(order.signatures_size());
  return static_cast<uint32_t>(api.order_keys->Signers(order.statement(), SignaturesOf(order)).size());
}

absl::Status GiveSignedOrder(const ApiContext& api, Transaction& tx, OrderContext context, bool allow_degraded,
                             const v1::SignedOrder& order, const v1::OrderStatement& statement,
                             v1::OrderProposal* results) {
  context.signed_order = order.SerializeAsString();
  context.signed_until = FromProto(statement.expires_at());
  // In one order, so that two such orders do not wait for each other.
  std::vector<std::string> sensors(statement.sensor_ids().begin(), statement.sensor_ids().end());
  std::sort(sensors.begin(), sensors.end());
  for (const std::string& sensor : sensors) {
    RETURN_IF_ERROR(GiveTo(api, tx, context, allow_degraded, sensor, statement, results->add_results()));
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
