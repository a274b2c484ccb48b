// What to do with a desired state that arrived.
#include "sensor/domain/reconcile.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

// A policy that only reports stops nothing, so nothing is lost when it goes.
bool Stops(const Policy& policy) {
  return policy.action != PolicyAction::kNotify && !policy.learn;
}

// Does `candidate` let nothing run in the scope of the allow-list that it does not name?
bool NamesNoMore(const Policy& candidate, const Policy& list) {
  const std::set<AllowedBinary> named(list.allowed.begin(), list.allowed.end());
  return candidate.policy_template == PolicyTemplate::kAllowList && candidate.scope == list.scope &&
         std::all_of(candidate.allowed.begin(), candidate.allowed.end(),
                     [&named](const AllowedBinary& binary) { return named.count(binary) != 0; });
}

// Does `candidate` block all that the block-list does?
bool NamesNoLess(const Policy& candidate, const Policy& list) {
  const std::set<BlockedBinary> named(candidate.blocked.begin(), candidate.blocked.end());
  return candidate.policy_template == PolicyTemplate::kBlockBinary &&
         std::all_of(list.blocked.begin(), list.blocked.end(),
                     [&named](const BlockedBinary& binary) { return named.count(binary) != 0; });
}

// One that ends earlier is weaker. One id is one order, whose lease never changes.
bool LastsAsLong(const Policy& candidate, const Policy& policy) {
  const auto ends = [](const Policy& p) { return p.expires_at.has_value() && p.on_expiry == OnExpiry::kRelease; };
  if (candidate.id == policy.id || !ends(candidate)) return true;
  return ends(policy) && *candidate.expires_at >= *policy.expires_at;
}

// Does what a policy with scope `a` cuts include what one with scope `b` does? Of two scopes that differ it is not
// known.
bool Covers(const std::optional<PolicyScope>& a, const std::optional<PolicyScope>& b) {
  return !a.has_value() || a == b;
}

bool Keeps(const DesiredState& incoming, const Policy& policy) {
  return std::any_of(incoming.policies.begin(), incoming.policies.end(), [&policy](const Policy& candidate) {
    if (!Stops(candidate) || !LastsAsLong(candidate, policy) || !Covers(candidate.scope, policy.scope)) return false;
    if (policy.policy_template == PolicyTemplate::kAllowList) return NamesNoMore(candidate, policy);
    if (!policy.blocked.empty()) return NamesNoLess(candidate, policy);
    // Isolation cuts all that containment cuts.
    if (policy.policy_template == PolicyTemplate::kNetworkContainment &&
        candidate.policy_template == PolicyTemplate::kNetworkIsolation) {
      return true;
    }
    return candidate.policy_template == policy.policy_template && candidate.binary_path == policy.binary_path &&
           (policy.binary_sha256.empty() || candidate.binary_sha256 == policy.binary_sha256);
  });
}

bool StopsSomething(const DesiredState& state, PolicyTemplate wanted) {
  return std::any_of(state.policies.begin(), state.policies.end(),
                     [&](const Policy& policy) { return policy.policy_template == wanted && Stops(policy); });
}

// Is every isolation of `incoming` inside one that was there? Then no rule opens what only containment had closed.
bool IsolatesNothingNew(const DesiredState& incoming, const DesiredState& in_force) {
  const auto is_isolation = [](const Policy& policy) {
    return policy.policy_template == PolicyTemplate::kNetworkIsolation && Stops(policy);
  };
  return std::all_of(incoming.policies.begin(), incoming.policies.end(), [&](const Policy& policy) {
    return !is_isolation(policy) ||
           std::any_of(in_force.policies.begin(), in_force.policies.end(),
                       [&](const Policy& old) { return is_isolation(old) && Covers(old.scope, policy.scope); });
  });
}

// Everything about a rule but its id, which does not change what it lets through.
std::string MeaningOf(const IsolationRule& rule) {
  return absl::StrCat(rule.remote.ToString(), " ", rule.first_port, " ", rule.last_port, " ", rule.protocol, " ",
                      static_cast<int>(rule.direction));
}

}  // namespace

bool AtLeastAsStrict(const DesiredState& incoming, const DesiredState& in_force) {
  for (const Policy& policy : in_force.policies) {
    if (Stops(policy) && !Keeps(incoming, policy)) return false;
  }
  if (incoming.isolation_rules.empty()) return true;
  // Isolation rules open what containment alone had closed.
  if (StopsSomething(in_force, PolicyTemplate::kNetworkContainment) && !IsolatesNothingNew(incoming, in_force)) {
    return false;
  }
  if (!StopsSomething(in_force, PolicyTemplate::kNetworkIsolation)) return true;
  std::set<std::string> known;
  for (const IsolationRule& rule : in_force.isolation_rules) known.insert(MeaningOf(rule));
  return std::all_of(incoming.isolation_rules.begin(), incoming.isolation_rules.end(),
                     [&known](const IsolationRule& rule) { return known.count(MeaningOf(rule)) != 0; });
}

ReconcileDecision Reconciler::Decide(const DesiredState& incoming, const DesiredState& in_force) {
  // A host that was enrolled anew begins a new count.
  if (incoming.sensor_id != in_force.sensor_id || incoming.generation > in_force.generation) {
    refused_generation_ = 0;
    return {ReconcileAction::kApply, ""};
  }
  if (incoming.generation == in_force.generation && incoming.digest == in_force.digest) {
    return {ReconcileAction::kAlreadyInForce, ""};
  }
  const std::string gone_back =
      absl::StrCat("generation ", incoming.generation, " is not newer than ", in_force.generation,
                   ", which is in force with other content; the control plane's database seems to have been restored");
  if (AtLeastAsStrict(incoming, in_force) || (refused_generation_ != 0 && incoming.generation > refused_generation_)) {
    refused_generation_ = 0;
    return {ReconcileAction::kApply, gone_back};
  }
  // A smaller one that comes later is just as old.
  refused_generation_ = std::max(refused_generation_, incoming.generation);
  return {ReconcileAction::kRefuse,
          absl::StrCat(gone_back,
                       ", and it would lift what is in force. Give the order again (contain or isolate, then release) "
                       "to confirm that it should be lifted")};
}

}  // namespace bulkhead::sensor
