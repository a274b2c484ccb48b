// Tables of everything that can be listed. The columns are stable: scripts may cut them, though -o json serves them
// better.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "bulkhead/v1/audit.pb.h"
#include "bulkhead/v1/enrollment.pb.h"
#include "bulkhead/v1/policy_service.pb.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"

namespace bulkhead::controlplane::cli {

std::string RenderSensors(const v1::ListSensorsResponse& sensors, absl::Time now);
std::string RenderPolicies(const v1::ListEnforcementPoliciesResponse& policies, absl::Time now);
std::string RenderIsolationRules(const v1::ListIsolationRulesResponse& rules, absl::Time now);
std::string RenderTokens(const v1::ListEnrollmentTokensResponse& tokens, absl::Time now);
std::string RenderTokenUses(const v1::ListEnrollmentTokenUsesResponse& uses, absl::Time now);
std::string RenderAuditRecords(const v1::ListAuditRecordsResponse& records);

// One policy or one command in full, a line for each field.
std::string RenderPolicy(const v1::EnforcementPolicy& policy);
std::string RenderCommand(const v1::Command& command);

std::string RenderRollouts(const v1::ListRolloutsResponse& rollouts, absl::Time now);
std::string RenderRolloutTargets(const v1::ListRolloutTargetsResponse& targets, absl::Time now);
// One rollout in full, a line for each field.
std::string RenderRollout(const v1::Rollout& rollout, absl::Time now);

// Everything known about one sensor: what was ordered beside what its kernel enforces, and the evidence.
std::string RenderSensor(const v1::Sensor& sensor, absl::Time now);

// The header of RenderWatchLine's lines, and one line for the state of a sensor at `now`.
std::string RenderWatchHeader();
std::string RenderWatchLine(const v1::WatchSensorsResponse& change, absl::Time now);

// Why a kernel is not where it was ordered to be, in one line; empty when nothing is known.
std::string ConvergenceProblem(const v1::Sensor& sensor, absl::Time now);

// The evidence in one line: generation, programs and sockets destroyed.
std::string ReceiptLine(const v1::Receipt& receipt);

}  // namespace bulkhead::controlplane::cli
