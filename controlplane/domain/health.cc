// Health and convergence of a sensor, with the reasons, from what is stored about it.
#include "controlplane/domain/health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane {
namespace {

// The kernel has what was ordered; a wall also has to be proved before anything is called contained or isolated.
void AssessReceipt(const SensorReport& report, HealthReport* out) {
  out->convergence = Convergence::kSynced;
  if (!report.failed_probe.empty()) {
    out->convergence = Convergence::kFailed;
    out->convergence_reason = absl::StrCat("the rules are in the kernel, but ", report.failed_probe);
  } else if (!report.receipt_complete) {
    out->convergence = Convergence::kPending;
    out->convergence_reason = "the rules are in the kernel, but the sensor has not proved the wall yet";
  } else if (!report.refused_policy.empty()) {
    out->convergence = Convergence::kPartial;
    out->convergence_reason = absl::StrCat("everything else is in force, but ", report.refused_policy);
  }
}

}  // namespace

void AssessConvergence(const Sensor& sensor, HealthReport* out) {
  const SensorReport& report = sensor.report;
  if (!sensor.observed_at.has_value()) {
    out->convergence = Convergence::kUnknown;
  } else if (report.observed_generation == sensor.desired_generation &&
             report.observed_digest == sensor.desired_digest) {
    AssessReceipt(report, out);
    if (!sensor.clone_suspected_at) return;
    out->convergence = Convergence::kPending;
    out->convergence_reason = "one host reports it in force, but two hosts seem to share this identity";
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

namespace {

void AddTierReason(Tier tier, absl::string_view what, std::vector<std::string>* reasons) {
  if (tier == Tier::kNone) reasons->push_back(absl::StrCat("the host cannot enforce ", what));
  if (tier == Tier::kPartial) reasons->push_back(absl::StrCat("the host enforces only a weaker form of ", what));
}

std::vector<std::string> CriticalReasons(const Sensor& sensor) {
  std::vector<std::string> reasons;
  if (sensor.trust == Trust::kRevoked) reasons.push_back("its identity is revoked");
  // Whatever is reported may be about the other host, so nothing of it is evidence.
  if (sensor.clone_suspected_at) {
    reasons.push_back(absl::StrCat("two hosts seem to share its identity: ", sensor.clone_reason));
  }
  reasons.insert(reasons.end(), sensor.report.critical.begin(), sensor.report.critical.end());
  return reasons;
}

// A lease that is over ends with the next sweep, unless it was ordered to hold.
void AddHeldLeases(const Sensor& sensor, absl::Time now, std::vector<std::string>* reasons) {
  for (const Policy& policy : sensor.policies) {
    if (!policy.expires_at || *policy.expires_at > now || policy.on_expiry != OnExpiry::kHold) continue;
    reasons->push_back(absl::StrCat("the lease of ", policy.name, " ended at ",
                                    absl::FormatTime(absl::RFC3339_sec, *policy.expires_at, absl::UTCTimeZone()),
                                    " and holds, as ordered; lift it or order it again"));
  }
}

std::vector<std::string> DegradedReasons(const Sensor& sensor, const HealthReport& so_far, absl::Time now) {
  std::vector<std::string> reasons = sensor.report.degraded;
  AddHeldLeases(sensor, now, &reasons);
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
  out.reasons = DegradedReasons(sensor, out, now);
  if (!out.reasons.empty()) out.health = Health::kDegraded;
  return out;
}

}  // namespace bulkhead::controlplane
