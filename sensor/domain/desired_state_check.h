// Is a desired state well formed, for this sensor, and safe to enforce here? Asked before anything is stored or
// applied.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

inline constexpr size_t kMaxPolicies = 1024;
inline constexpr size_t kMaxAllowed = 4096;    // binaries of one allow-list
inline constexpr size_t kMaxBlocked = 100000;  // binaries of all block-lists
inline constexpr size_t kLongestListName = 64;
inline constexpr size_t kMaxIsolationRules = 100000;
inline constexpr size_t kMaxScopedWalls = BH_MAX_SCOPED_WALLS;

// What the check has to know about this sensor.
struct SensorFacts {
  std::string sensor_id;                     // UUID
  std::vector<std::string> protected_paths;  // the sensor's own program; never blocked
  bool control_plane_known = false;          // at least one address of the control plane is resolved and pinned
  bool needs_control_plane = true;           // false: enforced from a local file, there is no control plane to reach
};

// OK: the state may be enforced. InvalidArgument: it is malformed or not for this sensor; FailedPrecondition: it would
// lock the sensor out. The message names the field and what would be right.
absl::Status CheckDesiredState(const DesiredState& state, const SensorFacts& facts);

// OK: this policy of such a state may be enforced. A policy that may not is refused alone, so that a later order does
// not wait for it. InvalidArgument: it is malformed; FailedPrecondition: it would lock the sensor out.
absl::Status CheckPolicy(const Policy& policy, const SensorFacts& facts);

// Refuses, alone, each block-list with which more than kMaxBlocked binaries would be blocked; the first ones stay.
void RefuseExcessiveLists(DesiredState* state);

// Absolute, 2..4095 bytes, no NUL, no empty, "." or ".." component, no trailing slash. InvalidArgument says which.
absl::Status CheckBinaryPath(absl::string_view path);

}  // namespace bulkhead::sensor
