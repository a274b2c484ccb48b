// Between the domain's values and the messages that only operators see.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/enrollment.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/domain/isolation_rule_input.h"
#include "controlplane/domain/types.h"
#include "google/protobuf/duration.pb.h"

namespace bulkhead::controlplane {

// Health and convergence are worked out here, from `interval` (heartbeats) and `now`.
v1::Sensor ToProto(const Sensor& sensor, absl::Duration interval, absl::Time now);
v1::EnrollmentToken ToProto(const EnrollmentToken& token);
v1::AuditRecord ToProto(const AuditRecord& record);

IsolationRuleInput InputOf(const v1::IsolationRule& rule);

// Unset stays "not known"; a not_started_after that is unset or in the future becomes `now`.
ProcessIdentity FromProto(const v1::ProcessIdentity& process, absl::Time now);

// Unspecified becomes `otherwise`.
PolicyAction ActionOr(v1::PolicyAction action, PolicyAction otherwise);

// Unset becomes zero; beyond what a Duration holds, the nearest that it does.
absl::Duration FromProto(const google::protobuf::Duration& duration);

}  // namespace bulkhead::controlplane
