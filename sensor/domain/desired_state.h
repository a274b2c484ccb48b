// What the control plane wants this host to enforce, as validated values. No protobuf, no kernel types.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ip_prefix.h"
#include "sensor/domain/policy_scope.h"

namespace bulkhead::sensor {

// SHA-256 that the control plane computed over a desired state; opaque here. All zero: none.
using Digest = std::array<uint8_t, 32>;

enum class Direction { kInbound = 1, kOutbound = 2, kAny = 3 };
enum class PolicyTemplate { kNetworkContainment = 1, kNetworkIsolation = 2, kBlockBinary = 3, kAllowList = 4 };
enum class PolicyAction { kDeny = 1, kSigkill = 2, kNotify = 3 };
enum class OnExpiry { kRelease = 1, kHold = 2 };
enum class OnUnreachable { kRollBack = 1, kHold = 2 };

// One exception to isolation; see protos/bulkhead/v1/policy.proto for the meaning of each field.
struct IsolationRule {
  std::string id;
  IpPrefix remote;          // default: any address of either family
  uint16_t first_port = 0;  // 0 with last_port 0: any port
  uint16_t last_port = 0;   // inclusive
  uint8_t protocol = 0;     // IP protocol number; 0: any (with ports: TCP and UDP)
  Direction direction = Direction::kAny;

  friend bool operator==(const IsolationRule&, const IsolationRule&) = default;
};

// What an allow-list lets run: a path, a digest, or a path whose file has this content.
struct AllowedBinary {
  std::string path;    // absolute and normalized
  std::string sha256;  // 32 bytes

  friend auto operator<=>(const AllowedBinary&, const AllowedBinary&) = default;
};

// What a block-list blocks: a path, a digest, or each of both.
struct BlockedBinary {
  std::string path;    // absolute and normalized
  std::string sha256;  // 32 bytes

  friend auto operator<=>(const BlockedBinary&, const BlockedBinary&) = default;
};

struct SignedOrder;  // signed_order.h

struct Policy {
  std::string id;
  std::string name;
  PolicyTemplate policy_template = PolicyTemplate::kNetworkContainment;
  PolicyAction action = PolicyAction::kDeny;
  // For kBlockBinary only, which has a path, a digest or both; or a list.
  std::string binary_path;             // absolute and normalized
  std::string binary_sha256;           // 32 bytes
  std::string block_list;              // name of the list; empty: none
  std::vector<BlockedBinary> blocked;  // of the list
  bool forced = false;                 // block even what this host needs
  bool kill_running = false;           // for kBlockBinary and kAllowList
  // End of the lease by the sensor's clock; none: never. What an id has here never changes: another lease is another
  // policy.
  std::optional<absl::Time> expires_at;
  OnExpiry on_expiry = OnExpiry::kRelease;
  OnUnreachable on_unreachable = OnUnreachable::kRollBack;  // network templates only
  std::optional<PolicyScope> scope;                         // none: everything that the sensor was started for
  // For kAllowList only, which always has a scope.
  std::vector<AllowedBinary> allowed;
  bool learn = false;  // nothing is stopped, what runs is listed
  // Why this sensor does not enforce it, while it enforces the others; empty: it does. Decided once, when an id is
  // first seen, and kept with the state.
  std::string refused;
  // Why it stays in force while the control plane wants it changed or gone; empty: it does not.
  std::string kept;
  // What operators signed for it; null: nothing, or it was checked and is in force. Never stored.
  std::shared_ptr<const SignedOrder> signed_order;

  // About what its processes send and receive.
  bool is_network() const {
    return policy_template == PolicyTemplate::kNetworkContainment ||
           policy_template == PolicyTemplate::kNetworkIsolation;
  }

  friend bool operator==(const Policy&, const Policy&) = default;
};

// A complete snapshot. Generation 0 with nothing in it is the state of a host that was never given an order.
struct DesiredState {
  std::string sensor_id;
  uint64_t generation = 0;
  Digest digest{};
  std::vector<Policy> policies;
  std::vector<IsolationRule> isolation_rules;
  // What operators signed to lift something; never stored.
  std::vector<std::shared_ptr<const SignedOrder>> releases;
  // For each slot (order_authority.h) when the newest signed order that was taken for it was issued. This sensor's own,
  // stored with the state: an order and its mark are on disk together or not at all.
  std::map<std::string, absl::Time> order_marks;

  bool contained() const { return Find(PolicyTemplate::kNetworkContainment) != nullptr; }
  bool isolated() const { return Find(PolicyTemplate::kNetworkIsolation) != nullptr; }

  // True when a policy, of whatever scope, reads the isolation rules.
  bool isolates() const {
    for (const Policy& policy : policies) {
      if (policy.policy_template == PolicyTemplate::kNetworkIsolation && policy.refused.empty()) return true;
    }
    return false;
  }

  // True when a network policy, of whatever scope, cuts and does not only count. A lease that is over is not looked at.
  bool has_wall() const {
    for (const Policy& policy : policies) {
      if (policy.is_network() && policy.action != PolicyAction::kNotify && policy.refused.empty()) return true;
    }
    return false;
  }

  // The first policy of a template that has no scope and is not refused, or null.
  const Policy* Find(PolicyTemplate wanted) const {
    for (const Policy& policy : policies) {
      if (policy.policy_template != wanted || policy.scope.has_value() || !policy.refused.empty()) continue;
      return &policy;
    }
    return nullptr;
  }

  // The policy with this id, or null.
  const Policy* FindId(const std::string& id) const {
    for (const Policy& policy : policies) {
      if (policy.id == id) return &policy;
    }
    return nullptr;
  }

  // The same without the policies that are refused: what the kernel gets.
  DesiredState Enforceable() const {
    DesiredState out = *this;
    std::erase_if(out.policies, [](const Policy& policy) { return !policy.refused.empty(); });
    return out;
  }

  friend bool operator==(const DesiredState&, const DesiredState&) = default;
};

}  // namespace bulkhead::sensor
