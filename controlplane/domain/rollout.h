// Rollouts: one order for many sensors, step by step; when to give the next order, what became of one, when to stop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

enum class RolloutState { kRunning = 1, kHalted = 2, kDone = 3, kCancelled = 4 };
// A target only moves forward: pending, ordered, enforced, failed; or from pending straight to failed.
enum class RolloutTargetState { kPending = 1, kOrdered = 2, kEnforced = 3, kFailed = 4 };

// 0: the default.
struct RolloutLimits {
  uint32_t max_in_flight = 0;
  uint32_t max_per_hour = 0;  // stays 0: no limit
  uint32_t max_failures = 0;
  uint32_t enforce_within_seconds = 0;
};

// The limits with the defaults filled in; InvalidField("limits.…") when one is out of range.
absl::StatusOr<RolloutLimits> ValidateRolloutLimits(RolloutLimits limits);

// Sensors of a rollout in each state.
struct RolloutCounts {
  uint32_t pending = 0;
  uint32_t ordered = 0;
  uint32_t enforced = 0;
  uint32_t failed = 0;
};

struct Rollout {
  std::string id;
  RolloutState state = RolloutState::kRunning;
  std::string kind;             // "contain", "isolate", "release" or "block-binary"
  std::string order;            // serialized bulkhead.v1.RolloutOrder, opaque to domain and store
  bool allow_degraded = false;  // the order accepts a missing layer, so a degraded sensor is no failure
  RolloutLimits limits;
  std::string label_selector;  // empty: all sensors
  RolloutCounts counts;
  uint32_t forgiven = 0;  // failures that an operator has seen and resumed after
  std::string halted_because;
  std::string reason;
  absl::Time created_at;
  std::string created_by;
  std::string ordered_by;  // in whose name orders are given: who created it, or resumed it last
  std::optional<absl::Time> ended_at;
};

// One sensor of a rollout.
struct RolloutTarget {
  std::string sensor_id;
  std::string sensor_name;  // when the rollout was created
  RolloutTargetState state = RolloutTargetState::kPending;
  std::string message;      // why it failed
  uint64_t generation = 0;  // that the order made; 0 while pending
  std::vector<std::string> degraded_before;
  absl::Time changed_at;
};

// ---- What became of an order ----

// An ordered or enforced target beside what its sensor shows.
struct RolloutEvidence {
  RolloutTarget target;
  absl::Duration since_order;    // by the database's clock
  std::optional<Sensor> sensor;  // none: it was deleted
};

struct TargetVerdict {
  RolloutTargetState state;  // kEnforced or kFailed
  std::string message;
};

// What the evidence says; none: nothing new. An order has failed when its sensor refused it, did not have it in force
// in time, or is worse for it: critical, or degraded in a way that it was not before the order. The last two also fail
// a target that was enforced before. Pure; thread safe.
std::optional<TargetVerdict> JudgeTarget(const Rollout& rollout, const RolloutEvidence& evidence);

// ---- What to do next ----

// A rollout as it stands, with everything that the next step depends on.
struct RolloutStanding {
  Rollout rollout;
  uint32_t ordered_last_hour = 0;
  std::string last_failure;        // "web-1: …"; empty: none
  bool operator_disabled = false;  // ordered_by may give no orders any more
};

struct RolloutStep {
  uint32_t orders = 0;               // how many may be given now
  std::optional<RolloutState> ends;  // the state to enter instead: kHalted or kDone
  std::string why;                   // of kHalted
};

// Never more orders than max_in_flight and max_per_hour leave room for; halts before it is done. Pure; thread safe.
RolloutStep NextStep(const RolloutStanding& standing);

}  // namespace bulkhead::controlplane
