// What to do with a desired state that arrived: is it newer than what is in force, the same, or from a control plane
// that went back in time?
#pragma once

#include <cstdint>
#include <string>

#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

enum class ReconcileAction {
  kApply,           // newer, or safe to take
  kAlreadyInForce,  // the same generation and digest: acknowledge again
  kRefuse,          // reason says why; what is in force stays
};

struct ReconcileDecision {
  ReconcileAction action = ReconcileAction::kRefuse;
  std::string reason;  // for kRefuse, and for kApply when the control plane went back
};

// Compares generations. The control plane's generation only grows, so one that is not above the generation in force
// with another digest means that its database was restored from a backup. Such a state is taken when it is at least as
// strict as what is in force. One that is weaker is refused: a restored backup knows nothing of the orders given after
// it was made, and nobody ordered the release. An order given after the restore raises the generation above the one
// that was refused, and is obeyed.
//
// A state for another sensor id is always taken: the host was enrolled anew.
//
// Not thread safe: used by the loop thread only.
class Reconciler {
 public:
  // `in_force` is the last state that this sensor enforced; generation 0: none.
  ReconcileDecision Decide(const DesiredState& incoming, const DesiredState& in_force);

 private:
  uint64_t refused_generation_ = 0;  // of the restored state that was refused; 0: none
};

// True when everything that `in_force` stops is stopped by `incoming` too.
bool AtLeastAsStrict(const DesiredState& incoming, const DesiredState& in_force);

}  // namespace bulkhead::sensor
