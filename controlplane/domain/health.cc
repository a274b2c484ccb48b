// Health and convergence of a sensor, with the reasons, from what is stored about it.
#include "controlplane/domain/health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane {
namespace {

void AssessConvergence(const Sensor& sensor, HealthReport* out) {
  const SensorReport& report = sensor.report;
  if (!sensor.observed_at.has_value()) {
    out->convergence = Convergence::kUnknown;
  } else if (report.observed_generation == sensor.desired_generation &&
             report.observed_digest == sensor.desired_digest) {
    out->convergence = Convergence::kSynced;
  } else if (sensor.failed_generation == sensor.desired_generation) {
    out->convergence = Convergence::kFailed;
    out->convergence_reason = sensor.failed_reason;
  } else if (report.observed_generation == sensor.desired_generation) {
    out->convergence = Convergence::kDrifted;
    out->convergence_reason =
        "the kernel holds other rules under the ordered generation; the sensor repairs this by itself";
  } else if (report.observed_generation > sensor.desired_generation) {
    out->convergence = Convergence::kDrifted;
    out->convergence_reason =
        absl::StrCat("the kernel has generation ", report.observed_generation, ", newer than the ordered ",
                     sensor.desired_generation, "; was the database restored from an old backup?");
  } else {
    out->convergence = Convergence::kPending;
  }
}

void AddTierReason(Tier tier, absl::string_view what, std::vector<std::string>* reasons) {
  if (tier == Tier::kNone) reasons->push_back(absl::StrCat("the host cannot enforce ", what));
  if (tier == Tier::kPartial) reasons->push_back(absl::StrCat("the host enforces only a weaker form of ", what));
}

std::vector<std::string> CriticalReasons(const Sensor& sensor) {
  std::vector<std::string> reasons;
  if (sensor.trust == Trust::kRevoked) reasons.push_back("its identity is revoked");
  reasons.insert(reasons.end(), sensor.report.critical.begin(), sensor.report.critical.end());
  return reasons;
}

std::vector<std::string> DegradedReasons(const Sensor& sensor, const HealthReport& so_far) {
  std::vector<std::string> reasons = sensor.report.degraded;
  if (so_far.convergence == Convergence::kFailed) {
    reasons.push_back(absl::StrCat("the last order could not be applied: ", so_far.convergence_reason));
  }
  if (so_far.convergence == Convergence::kDrifted) reasons.push_back(so_far.convergence_reason);
  AddTierReason(sensor.report.containment_tier, "network containment", &reasons);
  AddTierReason(sensor.report.isolation_tier, "network isolation", &reasons);
  AddTierReason(sensor.report.block_binary_tier, "blocking of binaries", &reasons);
  if (!sensor.connected) reasons.push_back("it is not connected; orders reach it when it reconnects");
  return reasons;
}

}  // namespace

absl::Time LastSignOfLife(const Sensor& sensor) {
  absl::Time last = sensor.enrolled_at;
  if (sensor.observed_at.has_value()) last = std::max(last, *sensor.observed_at);
  if (sensor.last_heartbeat_at.has_value()) last = std::max(last, *sensor.last_heartbeat_at);
  return last;
}

HealthReport AssessHealth(const Sensor& sensor, absl::Duration interval, absl::Time now) {
  HealthReport out;
  AssessConvergence(sensor, &out);
  out.reasons = CriticalReasons(sensor);
  if (!out.reasons.empty()) {
    out.health = Health::kCritical;
    return out;
  }
  const absl::Duration silence = now - LastSignOfLife(sensor);
  if (silence > interval * kMissedHeartbeatsUntilOffline) {
    out.health = Health::kOffline;
    out.reasons.push_back(
        absl::StrCat("no sign of life for ", absl::FormatDuration(absl::Trunc(silence, absl::Seconds(1)))));
    return out;
  }
  out.reasons = DegradedReasons(sensor, out);
  if (!out.reasons.empty()) out.health = Health::kDegraded;
  return out;
}

}  // namespace bulkhead::controlplane
