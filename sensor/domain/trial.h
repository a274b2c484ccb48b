// Commit or roll back: what the proof of a new connection to the control plane means for a wall that is on trial.
#pragma once

#include <string>

#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

// What came of new connections to every pinned address, the best first.
enum class Reachability {
  kConnected,    // TCP and TLS to one of them
  kAnswered,     // none, but packets of one came back: a reset, or TCP without TLS. No wall swallowed them
  kSilent,       // nothing came back in time, or there is no route
  kRefusedHere,  // this host's own wall refused every one
};

// Where a trial is.
enum class TrialStep {
  kWallUp,    // the proof was made with the new wall
  kWallDown,  // the new wall failed, what was before is in force again, and the proof was made with that
};

enum class TrialVerdict {
  kCommit,      // the wall stays
  kRollBack,    // what was before stays, and the order has failed
  kAskWithout,  // put back what was before and prove again: is the wall to blame?
  kRaiseAgain,  // it is not: the wall comes back, and stays
};

struct TrialDecision {
  TrialVerdict verdict = TrialVerdict::kCommit;
  std::string
      note;  // for the operator: why the order failed, or what is weaker than it should be; empty when all is well
};

// `hold`: the order says to keep the wall whatever happens. `detail` says what was tried and seen. Pure.
TrialDecision DecideTrial(TrialStep step, Reachability seen, bool hold, const std::string& detail);

// What an order says: HOLD when a wall that is new in `incoming` says so; when none is new (rules changed), when any
// does.
bool HoldsUnreachable(const DesiredState& incoming, const DesiredState& previous);

}  // namespace bulkhead::sensor
