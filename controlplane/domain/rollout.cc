// Rollouts: one order for many sensors, step by step; when to give the next order, what became of one, when to stop.
#include "controlplane/domain/rollout.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/health.h"

namespace bulkhead::controlplane {
namespace {

absl::Status FillLimit(const char* field, uint32_t standard, uint32_t least, uint32_t most, uint32_t* value) {
  if (*value == 0) *value = standard;
  if (*value >= least && *value <= most) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("is ", *value, "; must be ", least, "..", most, ", or 0 for ", standard));
}

// Reasons that are there now and were not before the order.
std::vector<std::string> NewReasons(const RolloutTarget& target, const Sensor& sensor) {
  std::vector<std::string> added;
  for (const std::string& reason : sensor.report.degraded) {
    const auto& before = target.degraded_before;
    if (std::find(before.begin(), before.end(), reason) == before.end()) added.push_back(reason);
  }
  return added;
}

// How the sensor is worse for the order; empty: it is not. A critical sensor is never given an order, so one that is
// critical became so afterwards. What is degraded counts once the sensor reports from under the order.
std::string HarmOf(const Rollout& rollout, const RolloutTarget& target, const Sensor& sensor) {
  if (!sensor.report.critical.empty()) {
    return absl::StrCat("critical since the order: ", absl::StrJoin(sensor.report.critical, "; "));
  }
  if (rollout.allow_degraded || sensor.report.observed_generation < target.generation) return "";
  const std::vector<std::string> added = NewReasons(target, sensor);
  return added.empty() ? "" : absl::StrCat("degraded since the order: ", absl::StrJoin(added, "; "));
}

std::string WhyLate(const RolloutTarget& target, const Sensor& sensor, const HealthReport& report) {
  if (!sensor.connected) return "the sensor is not connected; the order reaches it when it returns";
  if (!report.convergence_reason.empty()) return report.convergence_reason;
  return absl::StrCat("the kernel has generation ", sensor.report.observed_generation, " of ", target.generation);
}

TargetVerdict Failed(std::string message) {
  return {RolloutTargetState::kFailed, std::move(message)};
}

}  // namespace

absl::StatusOr<RolloutLimits> ValidateRolloutLimits(RolloutLimits limits) {
  RETURN_IF_ERROR(FillLimit("limits.max_in_flight", 50, 1, 10'000, &limits.max_in_flight));
  RETURN_IF_ERROR(FillLimit("limits.max_failures", 1, 1, 10'000, &limits.max_failures));
  RETURN_IF_ERROR(FillLimit("limits.enforce_within_seconds", 60, 5, 86'400, &limits.enforce_within_seconds));
  if (limits.max_per_hour <= 1'000'000) return limits;
  return InvalidField("limits.max_per_hour",
                      absl::StrCat("is ", limits.max_per_hour, "; must be 1..1000000, or 0 for no limit"));
}

std::optional<TargetVerdict> JudgeTarget(const Rollout& rollout, const RolloutEvidence& evidence) {
  const RolloutTarget& target = evidence.target;
  const bool enforced = target.state == RolloutTargetState::kEnforced;
  if (!evidence.sensor) {
    if (enforced) return std::nullopt;
    return Failed("the sensor was deleted before the order was seen in force");
  }
  const Sensor& sensor = *evidence.sensor;
  HealthReport report;
  AssessConvergence(sensor, &report);
  if (const std::string harm = HarmOf(rollout, target, sensor); !harm.empty()) return Failed(harm);
  const bool failed = report.convergence == Convergence::kFailed;
  if (enforced) {
    // A later order of somebody else may fail too; that is not this one's doing.
    if (!failed || sensor.desired_generation != target.generation) return std::nullopt;
    return Failed(absl::StrCat("no longer in force: ", report.convergence_reason));
  }
  if (failed && sensor.desired_generation >= target.generation) {
    return Failed(absl::StrCat("the sensor could not apply it: ", report.convergence_reason));
  }
  if (sensor.trust == Trust::kRevoked) return Failed("its identity was revoked before the order was seen in force");
  // A policy that was refused before is not this order's.
  const bool partial = report.convergence == Convergence::kPartial && NewReasons(target, sensor).empty();
  if ((report.convergence == Convergence::kSynced || partial) &&
      sensor.report.observed_generation >= target.generation) {
    return TargetVerdict{RolloutTargetState::kEnforced, ""};
  }
  const absl::Duration limit = absl::Seconds(rollout.limits.enforce_within_seconds);
  if (evidence.since_order <= limit) return std::nullopt;
  return Failed(
      absl::StrCat("not in force within ", absl::FormatDuration(limit), ": ", WhyLate(target, sensor, report)));
}

RolloutStep NextStep(const RolloutStanding& standing) {
  const Rollout& rollout = standing.rollout;
  const RolloutCounts& counts = rollout.counts;
  RolloutStep step;
  if (rollout.state != RolloutState::kRunning) return step;
  const uint32_t failures = counts.failed - std::min(counts.failed, rollout.forgiven);
  if (failures >= rollout.limits.max_failures) {
    step.ends = RolloutState::kHalted;
    step.why = absl::StrCat(failures, failures == 1 ? " sensor" : " sensors", " failed (the limit is ",
                            rollout.limits.max_failures, "); the last: ", standing.last_failure);
    return step;
  }
  if (counts.pending == 0 && counts.ordered == 0) {
    step.ends = RolloutState::kDone;
    return step;
  }
  if (counts.pending != 0 && standing.operator_disabled) {
    step.ends = RolloutState::kHalted;
    step.why =
        absl::StrCat("operator ", rollout.ordered_by, ", who orders this, is disabled; another one may resume it");
    return step;
  }
  const auto room = [](uint32_t most, uint32_t used) { return most - std::min(most, used); };
  step.orders = std::min(counts.pending, room(rollout.limits.max_in_flight, counts.ordered));
  if (rollout.limits.max_per_hour != 0) {
    step.orders = std::min(step.orders, room(rollout.limits.max_per_hour, standing.ordered_last_hour));
  }
  return step;
}

}  // namespace bulkhead::controlplane
