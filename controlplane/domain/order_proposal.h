// Signed orders as they are submitted, approved and carried out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

enum class ProposalState { kPending = 1, kOrdered = 2, kRejected = 3, kExpired = 4 };

// One signature, and who brought it.
struct OrderApproval {
  std::string operator_name;
  std::string key_id;
  absl::Time time;
};

// See bulkhead.v1.OrderProposal.
struct OrderProposal {
  std::string id;
  ProposalState state = ProposalState::kPending;
  std::string statement_sha256;          // 32 bytes; each statement is submitted once
  std::string signed_order;              // bulkhead.v1.SignedOrder, opaque to domain and store
  std::vector<OrderApproval> approvals;  // one for each signature
  uint32_t signatures_required = 1;
  bool allow_degraded = false;
  std::string reason;
  std::string created_by;
  absl::Time created_at;
  absl::Time expires_at;
  std::string ended_by;
  std::optional<absl::Time> ended_at;
  std::string results;  // bulkhead.v1.OrderProposal with results only, opaque
};

// A signed order to lift what is in one slot of a sensor.
struct SignedRelease {
  std::string sensor_id;
  std::string slot;          // the same text for the same slot
  std::string signed_order;  // opaque
  absl::Time expires_at;
};

// Which policy a signed release lifts; see bulkhead.v1.PolicySlot.
struct PolicySlot {
  PolicyTemplate policy_template = PolicyTemplate::kNetworkContainment;
  std::optional<Scope> scope;
  std::string binary_path;
  std::string binary_sha256;
  std::string list_name;

  bool Holds(const Policy& policy) const {
    return policy.policy_template == policy_template && policy.scope == scope && policy.binary_path == binary_path &&
           policy.block_list.name == list_name && (!binary_path.empty() || policy.binary_sha256 == binary_sha256);
  }
};

}  // namespace bulkhead::controlplane
