// The digest that says whether a kernel enforces what was ordered.
#include "controlplane/domain/desired_state_digest.h"

#include <algorithm>

#include "common/hex.h"
#include "controlplane/domain/canonical_encoding.h"

namespace bulkhead::controlplane {
namespace {

std::string EncodeRule(const IsolationRule& rule) {
  CanonicalEncoding out;
  out.Add(rule.id).Add(rule.remote.ToString()).Add(uint64_t{rule.first_port}).Add(uint64_t{rule.last_port});
  out.Add(uint64_t{rule.protocol}).Add(static_cast<uint64_t>(rule.direction));
  return out.bytes();
}

std::string EncodePolicy(const Policy& policy) {
  CanonicalEncoding out;
  out.Add(policy.id).Add(static_cast<uint64_t>(policy.policy_template)).Add(static_cast<uint64_t>(policy.action));
  out.Add(policy.binary_path).Add(policy.binary_sha256);
  out.Add(uint64_t{policy.kill_running}).Add(uint64_t{policy.forced});
  out.Add(policy.expires_at ? static_cast<uint64_t>(absl::ToUnixMicros(*policy.expires_at)) : uint64_t{0});
  out.Add(static_cast<uint64_t>(policy.on_expiry)).Add(static_cast<uint64_t>(policy.on_unreachable));
  // Nothing without one, so that the digests of what was ordered before there were scopes stay.
  if (policy.scope) out.Add("scope").Add(static_cast<uint64_t>(policy.scope->kind)).Add(policy.scope->name);
  if (!policy.block_list.name.empty()) out.Add("block-list").Add(policy.block_list.name).Add(policy.block_list.sha256);
  if (policy.policy_template == PolicyTemplate::kAllowList) {
    out.Add("allow-list").Add(uint64_t{policy.allow_list.learn}).Add(uint64_t{policy.allow_list.binaries.size()});
    for (const AllowedBinary& binary : policy.allow_list.binaries) out.Add(binary.path).Add(binary.sha256);
  }
  return out.bytes();
}

// Sorted, so that the digest depends on the set and not on the order in which a query returned it.
template <typename T>
std::string EncodeSet(const std::vector<T>& items, std::string (*encode)(const T&)) {
  std::vector<std::string> encoded;
  encoded.reserve(items.size());
  for (const T& item : items) encoded.push_back(encode(item));
  std::sort(encoded.begin(), encoded.end());
  CanonicalEncoding out;
  out.Add(uint64_t{encoded.size()});
  for (const std::string& item : encoded) out.Add(item);
  return out.bytes();
}

}  // namespace

std::string IsolationRulesDigest(const std::vector<IsolationRule>& rules) {
  CanonicalEncoding out;
  out.Add("bulkhead.isolation-rules.v1").Add(EncodeSet(rules, EncodeRule));
  return Sha256(out.bytes());
}

std::string DesiredStateDigest(const std::string& sensor_id, const std::vector<Policy>& policies,
                               const std::string& rules_digest) {
  CanonicalEncoding out;
  out.Add("bulkhead.desired-state.v1").Add(sensor_id).Add(EncodeSet(policies, EncodePolicy));
  out.Add(ReadsIsolationRules(policies) ? rules_digest : std::string());
  return Sha256(out.bytes());
}

bool ReadsIsolationRules(const std::vector<Policy>& policies) {
  return std::any_of(policies.begin(), policies.end(),
                     [](const Policy& policy) { return policy.policy_template == PolicyTemplate::kNetworkIsolation; });
}

}  // namespace bulkhead::controlplane
