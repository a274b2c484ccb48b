// What monitoring shows of the fleet: counts, never a name.
#include "controlplane/domain/fleet_figures.h"

#include "controlplane/domain/health.h"

namespace bulkhead::controlplane {
namespace {

const char* Word(Health health) {
  switch (health) {
    case Health::kHealthy:
      return "healthy";
    case Health::kDegraded:
      return "degraded";
    case Health::kOffline:
      return "offline";
    case Health::kCritical:
      return "critical";
  }
  return "unknown";
}

const char* Word(Convergence convergence) {
  switch (convergence) {
    case Convergence::kUnknown:
      return "unknown";
    case Convergence::kSynced:
      return "synced";
    case Convergence::kPending:
      return "pending";
    case Convergence::kFailed:
      return "failed";
    case Convergence::kDrifted:
      return "drifted";
    case Convergence::kPartial:
      return "partial";
  }
  return "unknown";
}

}  // namespace

SensorFigures::SensorFigures()
    : by_health{{"healthy", 0}, {"degraded", 0}, {"offline", 0}, {"critical", 0}},
      by_convergence{{"unknown", 0}, {"synced", 0}, {"pending", 0}, {"failed", 0}, {"drifted", 0}, {"partial", 0}},
      by_trust{{"trusted", 0}, {"revoked", 0}} {}

void SensorFigures::Count(const Sensor& sensor, absl::Duration heartbeat_interval, absl::Time now) {
  ++by_trust[sensor.trust == Trust::kTrusted ? "trusted" : "revoked"];
  if (sensor.connected) ++connected;
  if (sensor.Find(PolicyTemplate::kNetworkContainment) != nullptr) ++contained;
  if (sensor.Find(PolicyTemplate::kNetworkIsolation) != nullptr) ++isolated;
  if (sensor.disabled) {
    ++disabled;
    return;
  }
  const HealthReport report = AssessHealth(sensor, heartbeat_interval, now);
  ++by_health[Word(report.health)];
  ++by_convergence[Word(report.convergence)];
}

}  // namespace bulkhead::controlplane
