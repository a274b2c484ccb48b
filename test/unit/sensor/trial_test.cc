// Commit or roll back: every step, every sight, both orders.
#include "sensor/domain/trial.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE("what a proof means for a wall on trial") {
  struct Case {
    TrialStep step;
    Reachability seen;
    bool hold;
    TrialVerdict verdict;
    bool has_note;
  };
  const Case cases[] = {
      {TrialStep::kWallUp, Reachability::kConnected, false, TrialVerdict::kCommit, false},
      {TrialStep::kWallUp, Reachability::kConnected, true, TrialVerdict::kCommit, false},
      // Packets came back through the wall: it is not to blame.
      {TrialStep::kWallUp, Reachability::kAnswered, false, TrialVerdict::kCommit, true},
      {TrialStep::kWallUp, Reachability::kAnswered, true, TrialVerdict::kCommit, true},
      {TrialStep::kWallUp, Reachability::kSilent, false, TrialVerdict::kAskWithout, false},
      {TrialStep::kWallUp, Reachability::kSilent, true, TrialVerdict::kCommit, true},
      // The wall itself refused: there is nothing to ask.
      {TrialStep::kWallUp, Reachability::kRefusedHere, false, TrialVerdict::kRollBack, true},
      {TrialStep::kWallUp, Reachability::kRefusedHere, true, TrialVerdict::kCommit, true},
      {TrialStep::kWallDown, Reachability::kConnected, false, TrialVerdict::kRollBack, true},
      {TrialStep::kWallDown, Reachability::kAnswered, false, TrialVerdict::kRollBack, true},
      {TrialStep::kWallDown, Reachability::kSilent, false, TrialVerdict::kRaiseAgain, true},
      {TrialStep::kWallDown, Reachability::kRefusedHere, false, TrialVerdict::kRaiseAgain, true},
  };
  for (const Case& one : cases) {
    INFO(static_cast<int>(one.step) << " " << static_cast<int>(one.seen) << " " << one.hold);
    const TrialDecision decision = DecideTrial(one.step, one.seen, one.hold, "192.0.2.7 port 8443: timed out");
    CHECK(decision.verdict == one.verdict);
    CHECK(decision.note.empty() != one.has_note);
    if (one.has_note) CHECK(absl::StrContains(decision.note, "192.0.2.7"));
  }
}

Policy Wall(const std::string& id, OnUnreachable on_unreachable, PolicyAction action = PolicyAction::kDeny) {
  Policy policy{id, "network-isolation", PolicyTemplate::kNetworkIsolation, action};
  policy.on_unreachable = on_unreachable;
  return policy;
}

DesiredState With(std::vector<Policy> policies) {
  DesiredState state;
  state.policies = std::move(policies);
  return state;
}

TEST_CASE("the newest wall says whether the order holds") {
  const Policy rolls = Wall("a", OnUnreachable::kRollBack);
  const Policy holds = Wall("b", OnUnreachable::kHold);
  CHECK(HoldsUnreachable(With({holds}), With({})));
  CHECK_FALSE(HoldsUnreachable(With({rolls}), With({})));
  CHECK(HoldsUnreachable(With({rolls, holds}), With({rolls})));
  CHECK_FALSE(HoldsUnreachable(With({rolls, holds}), With({holds})));
  // Only the rules changed: both walls were ordered, and one of them holds.
  CHECK(HoldsUnreachable(With({rolls, holds}), With({rolls, holds})));
  // A shadow cuts nothing, and so has no say.
  CHECK_FALSE(HoldsUnreachable(With({Wall("c", OnUnreachable::kHold, PolicyAction::kNotify)}), With({})));
}

}  // namespace
}  // namespace bulkhead::sensor
