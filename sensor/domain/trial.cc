// Commit or roll back.
#include "sensor/domain/trial.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

TrialDecision AfterWallUp(Reachability seen, bool hold, const std::string& detail) {
  switch (seen) {
    case Reachability::kConnected:
      return {TrialVerdict::kCommit, ""};
    case Reachability::kAnswered:
      // Its packets came through the wall both ways, so taking the wall down could not help.
      return {TrialVerdict::kCommit,
              absl::StrCat("the control plane takes no new connection, though the wall lets its packets through: ",
                           detail)};
    case Reachability::kSilent:
    case Reachability::kRefusedHere:
      break;
  }
  if (hold) {
    return {TrialVerdict::kCommit,
            absl::StrCat("no new connection to the control plane works through the wall, which holds as ordered: ",
                         detail)};
  }
  if (seen == Reachability::kSilent) return {TrialVerdict::kAskWithout, ""};
  return {TrialVerdict::kRollBack,
          absl::StrCat("rolled back: the wall refused new connections to the control plane: ", detail)};
}

}  // namespace

TrialDecision DecideTrial(TrialStep step, Reachability seen, bool hold, const std::string& detail) {
  if (step == TrialStep::kWallUp) return AfterWallUp(seen, hold, detail);
  if (seen == Reachability::kConnected || seen == Reachability::kAnswered) {
    return {TrialVerdict::kRollBack,
            absl::StrCat("rolled back: with the wall up no new connection to the control plane got through, without it "
                         "one does; check that the address that packets really go to is the one that the sensor "
                         "resolved: ",
                         detail)};
  }
  return {TrialVerdict::kRaiseAgain,
          absl::StrCat("no new connection to the control plane works, with the wall or without it; the wall stays: ",
                       detail)};
}

bool HoldsUnreachable(const DesiredState& incoming, const DesiredState& previous) {
  const auto is_wall = [](const Policy& policy) {
    return policy.is_network() && policy.action != PolicyAction::kNotify;
  };
  const auto is_new = [&previous](const Policy& policy) {
    return std::none_of(previous.policies.begin(), previous.policies.end(),
                        [&policy](const Policy& old) { return old.id == policy.id; });
  };
  const auto holds = [](const Policy& policy) { return policy.on_unreachable == OnUnreachable::kHold; };
  const auto& policies = incoming.policies;
  const bool any_new =
      std::any_of(policies.begin(), policies.end(), [&](const Policy& p) { return is_wall(p) && is_new(p); });
  return std::any_of(policies.begin(), policies.end(), [&](const Policy& policy) {
    return is_wall(policy) && (!any_new || is_new(policy)) && holds(policy);
  });
}

}  // namespace bulkhead::sensor
