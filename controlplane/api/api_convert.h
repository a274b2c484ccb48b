// Between the domain's values and the messages that only operators see.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/enrollment.pb.h"
#include "bulkhead/v1/event_service.pb.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "common/status_macros.h"
#include "controlplane/domain/event.h"
#include "controlplane/domain/isolation_rule_input.h"
#include "controlplane/domain/rollout.h"
#include "controlplane/domain/types.h"
#include "controlplane/orders/orders.h"
#include "google/protobuf/duration.pb.h"

namespace bulkhead::controlplane {

// Health and convergence are worked out here, from `interval` (heartbeats) and `now`.
v1::Sensor ToProto(const Sensor& sensor, absl::Duration interval, absl::Time now);
v1::EnrollmentToken ToProto(const EnrollmentToken& token);
v1::AuditRecord ToProto(const AuditRecord& record);
v1::StoredEvent ToProto(const StoredEvent& event);
v1::Rollout ToProto(const Rollout& rollout);
v1::RolloutTarget ToProto(const RolloutTarget& target);

// A map field as labels.
Labels LabelsOf(const google::protobuf::Map<std::string, std::string>& labels);

IsolationRuleInput InputOf(const v1::IsolationRule& rule);

// Unset stays "not known"; a not_started_after that is unset or in the future becomes `now`.
ProcessIdentity FromProto(const v1::ProcessIdentity& process, absl::Time now);

// InvalidField at "group" when it names nothing.
absl::StatusOr<orders::KillGroup> GroupOf(const v1::KillGroup& group, absl::Time now);

// Unspecified becomes `otherwise`.
PolicyAction ActionOr(v1::PolicyAction action, PolicyAction otherwise);

// When a lease given at `now` ends; unset: never. InvalidArgument when it has no end, or one out of range.
absl::StatusOr<std::optional<absl::Time>> ExpiryOf(const v1::Lease& lease, absl::Time now);

// The terms that every order for a policy has; `on_unreachable` is left to the network orders.
template <typename Request>
absl::StatusOr<PolicyTerms> TermsOf(const Request& request, PolicyAction standard, absl::Time now) {
  PolicyTerms terms;
  terms.action = ActionOr(request.action(), standard);
  terms.allow_degraded = request.allow_degraded();
  if (!request.has_lease()) return terms;
  ASSIGN_OR_RETURN(terms.expires_at, ExpiryOf(request.lease(), now));
  if (request.lease().on_expiry() == v1::ON_EXPIRY_HOLD) terms.on_expiry = OnExpiry::kHold;
  return terms;
}

// Unset becomes zero; beyond what a Duration holds, the nearest that it does.
absl::Duration FromProto(const google::protobuf::Duration& duration);

}  // namespace bulkhead::controlplane
