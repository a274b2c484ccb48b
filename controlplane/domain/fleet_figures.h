// What monitoring shows of the fleet: counts, never a name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// Sensors by what they are. Every value that there is has an entry, also those that no sensor has.
struct SensorFigures {
  SensorFigures();

  // `sensor` needs no blobs. A disabled sensor is left out of health and convergence.
  void Count(const Sensor& sensor, absl::Duration heartbeat_interval, absl::Time now);

  std::map<std::string, int64_t> by_health;       // "healthy", "degraded", "offline", "critical"
  std::map<std::string, int64_t> by_convergence;  // "unknown", "synced", "pending", "failed", "drifted", "partial"
  std::map<std::string, int64_t> by_trust;        // "trusted", "revoked"
  int64_t connected = 0;
  int64_t disabled = 0;
  int64_t contained = 0;
  int64_t isolated = 0;
};

// What one query of the database counts. States that nothing is in may be missing.
struct StoredFigures {
  std::map<std::string, int64_t> open_commands;                     // by state
  std::map<std::string, int64_t> finished_commands;                 // of the last hour, by state
  std::map<std::pair<std::string, std::string>, int64_t> policies;  // by template, and "enforced" or "pending"
  std::map<std::string, int64_t> rollouts;                          // by state
  std::map<std::string, int64_t> open_rollout_targets;              // of rollouts that have not ended, by state
  int64_t replicas = 0;                                             // whose lease lasts
  uint64_t audit_head = 0;                                          // sequence of the last record
};

}  // namespace bulkhead::controlplane
