// Health and convergence of a sensor, with the reasons, from what is stored about it.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

struct HealthReport {
  Health health = Health::kHealthy;
  std::vector<std::string> reasons;  // empty when healthy
  Convergence convergence = Convergence::kUnknown;
  std::string convergence_reason;  // why failed or drifted, or what is missing while pending
};

// Missed so many heartbeats in a row, a sensor counts as offline.
inline constexpr int kMissedHeartbeatsUntilOffline = 3;

// CRITICAL (revoked, or the sensor says that its enforcement cannot be trusted) before OFFLINE (no sign of life for
// three intervals) before DEGRADED (something is missing) before HEALTHY. `interval` is the heartbeat interval. Pure;
// thread safe.
HealthReport AssessHealth(const Sensor& sensor, absl::Duration interval, absl::Time now);

// Fills in convergence and its reason, which do not depend on the time. Pure; thread safe.
void AssessConvergence(const Sensor& sensor, HealthReport* out);

// Last heartbeat or other report; when there was none yet, the enrollment.
absl::Time LastSignOfLife(const Sensor& sensor);

}  // namespace bulkhead::controlplane
