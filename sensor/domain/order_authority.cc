// Did operators sign this?
#include "sensor/domain/order_authority.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr char kUnauthorized[] = "not authorized: ";

OrderKind KindOf(const Policy& policy) {
  switch (policy.policy_template) {
    case PolicyTemplate::kNetworkContainment:
      return OrderKind::kContain;
    case PolicyTemplate::kNetworkIsolation:
      return OrderKind::kIsolate;
    case PolicyTemplate::kBlockBinary:
      return OrderKind::kBlock;
    case PolicyTemplate::kAllowList:
      break;
  }
  return OrderKind::kAllowList;
}

OrderKind LiftOf(const Policy& policy) {
  return policy.is_network() ? OrderKind::kRelease : OrderKind::kUnblock;
}

bool IsEnforced(const Policy& policy, absl::Time now) {
  const bool over =
      policy.expires_at.has_value() && *policy.expires_at <= now && policy.on_expiry == OnExpiry::kRelease;
  return policy.refused.empty() && !over;
}

const Policy* FindEnforced(const DesiredState& state, const std::string& slot, absl::Time now) {
  for (const Policy& policy : state.policies) {
    if (IsEnforced(policy, now) && SlotOf(policy) == slot) return &policy;
  }
  return nullptr;
}

// Everything that the kernel does about a policy, but when its lease ends.
bool SameContent(const Policy& a, const Policy& b) {
  const auto content = [](const Policy& policy) {
    Policy out = policy;
    out.id.clear();
    out.name.clear();
    out.refused.clear();
    out.kept.clear();
    out.expires_at.reset();
    out.signed_order.reset();
    std::sort(out.allowed.begin(), out.allowed.end());
    std::sort(out.blocked.begin(), out.blocked.end());
    return out;
  };
  return content(a) == content(b);
}

// Without a signature the end of a lease is told relative to the control plane's clock, and moves with it.
bool IsAsBefore(const Policy& policy, const Policy& before) {
  if (IsUnauthorized(before) || !SameContent(policy, before)) return false;
  return policy.signed_order == nullptr || policy.expires_at == before.expires_at;
}

std::optional<absl::Time> MarkOf(const DesiredState& state, const std::string& slot) {
  const auto found = state.order_marks.find(slot);
  return found == state.order_marks.end() ? std::nullopt : std::optional(found->second);
}

// A mark that is older than any statement can be good for stops nothing that its own end does not.
void ForgetOldMarks(DesiredState* state, absl::Time now) {
  std::erase_if(state->order_marks,
                [now](const auto& mark) { return mark.second + kLongestStatement + kOrderClockTolerance < now; });
}

absl::Status CheckNewer(const OrderStatement& statement, const DesiredState& state, const std::string& slot) {
  const std::optional<absl::Time> mark = MarkOf(state, slot);
  if (!mark.has_value() || statement.issued_at > *mark) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("it was signed at ", absl::FormatTime(statement.issued_at, absl::UTCTimeZone()),
                   ", and this host has taken a signed order of ", absl::FormatTime(*mark, absl::UTCTimeZone()),
                   " for the same since: it would be a replay; sign the order again"));
}

void Keep(const Policy& policy, const std::string& why, DesiredState* state) {
  std::erase_if(state->policies, [&policy](const Policy& other) { return other.id == policy.id; });
  state->policies.push_back(policy);
  state->policies.back().kept = why;
}

bool SameProcess(const ProcessIdentity& a, const ProcessIdentity& b) {
  return a.pid == b.pid && a.start_time_ticks == b.start_time_ticks && a.boot_id == b.boot_id &&
         a.executable == b.executable;
}

// Times are the statement's.
struct SameTarget {
  bool operator()(const ProcessTree& a, const ProcessTree& b) const { return SameProcess(a.root, b.root); }
  bool operator()(const RunningFile& a, const RunningFile& b) const { return a.path == b.path && a.sha256 == b.sha256; }
  bool operator()(const PolicyScope& a, const PolicyScope& b) const { return a == b; }
  template <typename A, typename B>
  bool operator()(const A&, const B&) const {
    return false;
  }
};

// Is the command what was signed? Then it gets the statement's times.
bool TakeFromStatement(const OrderStatement& statement, Command* command) {
  if (command->guard.has_value()) {
    const auto* lower = std::get_if<LowerGuard>(&*command->guard);
    const auto* signed_lower = std::get_if<LowerGuard>(&statement.order);
    return lower != nullptr && signed_lower != nullptr && lower->duration == signed_lower->duration;
  }
  if (command->group.has_value()) {
    const auto* group = std::get_if<KillGroup>(&statement.order);
    if (group == nullptr || !std::visit(SameTarget(), *command->group, *group)) return false;
    command->group = *group;
    return true;
  }
  const auto* process = std::get_if<ProcessIdentity>(&statement.order);
  if (process == nullptr || !SameProcess(command->process, *process)) return false;
  command->process = *process;
  return true;
}

}  // namespace

std::string SlotOf(const Policy& policy) {
  const std::string scope = policy.scope.has_value() ? DescribeScope(*policy.scope) : "host";
  switch (policy.policy_template) {
    case PolicyTemplate::kNetworkContainment:
      return absl::StrCat("containment ", scope);
    case PolicyTemplate::kNetworkIsolation:
      return absl::StrCat("isolation ", scope);
    case PolicyTemplate::kAllowList:
      return absl::StrCat("allow-list ", scope);
    case PolicyTemplate::kBlockBinary:
      break;
  }
  if (!policy.block_list.empty()) return absl::StrCat("block list ", policy.block_list);
  return policy.binary_path.empty() ? absl::StrCat("block sha256 ", ToHex(policy.binary_sha256))
                                    : absl::StrCat("block path ", policy.binary_path);
}

bool IsUnauthorized(const Policy& policy) {
  return absl::StartsWith(policy.refused, kUnauthorized);
}

Authorized OrderAuthority::Authorize(const DesiredState& incoming, const DesiredState& before, absl::Time now) const {
  Context context{&incoming, &before, now, {}, {}};
  Authorized out;
  out.state = incoming;
  out.state.policies.clear();
  out.state.releases.clear();
  out.state.order_marks = before.order_marks;
  ForgetOldMarks(&out.state, now);
  TakeReleases(&context, &out);
  for (const Policy& policy : incoming.policies) TakePolicy(policy, context, &out);
  KeepOthers(context, &out);
  TakeRules(context, &out);
  return out;
}

void OrderAuthority::TakeReleases(Context* context, Authorized* out) const {
  for (const auto& release : context->incoming->releases) {
    const auto* lift = release->says.ok() ? std::get_if<LiftOrder>(&release->says->order) : nullptr;
    if (lift == nullptr) continue;
    const std::string slot = SlotOf(lift->where);
    const uint32_t required = std::max(keys_.Required(LiftOf(lift->where)), 1U);
    absl::Status status = CheckOrder(release.get(), context->incoming->sensor_id, required, context->now);
    if (status.ok()) status = CheckNewer(*release->says, out->state, slot);
    if (!status.ok()) {
      context->refused[slot] = std::string(status.message());
      continue;
    }
    out->state.order_marks[slot] = release->says->issued_at;
    context->lifted.insert(slot);
    out->lifts = true;
  }
}

void OrderAuthority::TakePolicy(const Policy& policy, const Context& context, Authorized* out) const {
  const std::string slot = SlotOf(policy);
  const bool lifted = context.lifted.count(slot) != 0;
  const Policy* const same = context.before->FindId(policy.id);
  if (same != nullptr && !lifted && IsAsBefore(policy, *same)) {
    out->state.policies.push_back(*same);
    out->state.policies.back().kept.clear();
    return;
  }
  const Policy* const replaced = lifted ? nullptr : FindEnforced(*context.before, slot, context.now);
  uint32_t required = keys_.Required(KindOf(policy));
  // Another order in its place can be as good as none.
  if (replaced != nullptr) required = std::max(required, keys_.Required(LiftOf(policy)));
  const absl::Status status = CheckPolicy(policy, required, context, out->state);
  out->state.policies.push_back(policy);
  Policy& taken = out->state.policies.back();
  if (status.ok()) {
    if (required != 0) out->state.order_marks[slot] = policy.signed_order->says->issued_at;
    if (required == 0) taken.signed_order.reset();
    return;
  }
  taken.signed_order.reset();
  taken.refused = absl::StrCat(kUnauthorized, status.message());
  if (replaced != nullptr) {
    Keep(*replaced, absl::StrCat(kUnauthorized, "a change was not taken: ", status.message()), &out->state);
  }
}

void OrderAuthority::KeepOthers(const Context& context, Authorized* out) const {
  for (const Policy& policy : context.before->policies) {
    const std::string slot = SlotOf(policy);
    const bool lasts = IsEnforced(policy, context.now) && context.lifted.count(slot) == 0;
    const uint32_t required = keys_.Required(LiftOf(policy));
    if (!lasts || required == 0 || FindEnforced(out->state, slot, context.now) != nullptr) continue;
    const auto refused = context.refused.find(slot);
    Keep(policy,
         refused == context.refused.end()
             ? absl::StrCat(kUnauthorized, "the control plane lifted it without an order that ", required,
                            " operators signed; it stays in force")
             : absl::StrCat(kUnauthorized, "it stays in force, because of the order to lift it ", refused->second),
         &out->state);
  }
}

void OrderAuthority::TakeRules(const Context& context, Authorized* out) const {
  if (!keys_.trust_isolation_rules()) {
    out->state.isolation_rules.clear();
    return;
  }
  // The control plane sends rules only with an isolation of its own.
  if (out->state.isolates() && !context.incoming->isolates()) {
    out->state.isolation_rules = context.before->isolation_rules;
  }
}

absl::Status OrderAuthority::CheckPolicy(const Policy& policy, uint32_t required, const Context& context,
                                         const DesiredState& state) const {
  const Policy* const same = context.before->FindId(policy.id);
  if (same != nullptr && IsEnforced(*same, context.now) && context.lifted.count(SlotOf(*same)) == 0 &&
      keys_.Required(LiftOf(*same)) + required != 0) {
    return absl::PermissionDeniedError("its id is that of a policy in force that says something else");
  }
  if (required == 0) return absl::OkStatus();
  RETURN_IF_ERROR(CheckOrder(policy.signed_order.get(), context.incoming->sensor_id, required, context.now));
  const OrderStatement& statement = *policy.signed_order->says;
  const auto* ordered = std::get_if<Policy>(&statement.order);
  if (ordered == nullptr || !SameContent(policy, *ordered) || policy.expires_at != ordered->expires_at) {
    return absl::PermissionDeniedError("what was signed for it says something else");
  }
  return CheckNewer(statement, state, SlotOf(policy));
}

absl::Status OrderAuthority::CheckOrder(const SignedOrder* order, const std::string& sensor_id, uint32_t required,
                                        absl::Time now) const {
  if (order == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("it is not signed, and this host wants the signatures of ", required, " operators"));
  }
  const std::set<std::string> signers = keys_.Signers(order->statement, order->signatures);
  if (signers.size() < required) return absl::PermissionDeniedError(MissingSignatures(*order, required));
  if (!order->says.ok()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the signed statement is unusable: ", order->says.status().message()));
  }
  const OrderStatement& statement = *order->says;
  const auto& audience = statement.sensor_ids;
  if (std::find(audience.begin(), audience.end(), sensor_id) == audience.end()) {
    return absl::PermissionDeniedError(absl::StrCat("it was signed for other sensors, and this is ", sensor_id));
  }
  if (statement.issued_at > now + kOrderClockTolerance) {
    return absl::PermissionDeniedError(
        absl::StrCat("it was signed at ", absl::FormatTime(statement.issued_at, absl::UTCTimeZone()),
                     ", which is in the future by this host's clock; see which clock is wrong"));
  }
  if (statement.expires_at < now) {
    return absl::PermissionDeniedError(absl::StrCat(
        "it expired at ", absl::FormatTime(statement.expires_at, absl::UTCTimeZone()), "; sign the order again"));
  }
  return absl::OkStatus();
}

std::string OrderAuthority::MissingSignatures(const SignedOrder& order, uint32_t required) const {
  const std::set<std::string> signers = keys_.Signers(order.statement, order.signatures);
  std::string text = absl::StrCat("it needs the signatures of ", required, " operators and has ", signers.size(),
                                  signers.empty() ? "" : absl::StrCat(" (", absl::StrJoin(signers, ", "), ")"));
  for (const OrderSignature& signature : order.signatures) {
    const absl::Status status = keys_.Check(order.statement, signature);
    if (!status.ok()) absl::StrAppend(&text, "; ", status.message());
  }
  return text;
}

absl::Status OrderAuthority::AuthorizeCommand(Command* command, const std::string& own_sensor_id,
                                              absl::Time now) const {
  const bool of_guard = command->guard.has_value();
  const uint32_t required = keys_.Required(of_guard ? OrderKind::kLowerGuard : OrderKind::kKill);
  if (required == 0) return absl::OkStatus();
  if (of_guard && std::holds_alternative<SetGuardCode>(*command->guard)) {
    return absl::PermissionDeniedError(
        "this host lowers its guard only for signed orders, so it takes no code that would do without");
  }
  const SignedOrder* const order = command->signed_order.get();
  RETURN_IF_ERROR(CheckOrder(order, own_sensor_id, required, now));
  if (!TakeFromStatement(*order->says, command)) {
    return absl::PermissionDeniedError("what was signed for it says something else");
  }
  command->not_after = std::min(command->not_after, order->says->expires_at);
  command->statement_digest = ToHex(Sha256(order->statement));
  command->statement_expires_at = order->says->expires_at;
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
