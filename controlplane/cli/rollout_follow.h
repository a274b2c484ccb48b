// Following a rollout to its end, with a progress bar for people and lines for logs.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/rollout_service.pb.h"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

// Watches the rollout until it is DONE or CANCELLED, or, with `stop_at_halt`, HALTED, and calls `show` with each state
// that it sees. Survives a lost connection. Returns the rollout as it is then; NotConverged when `limit` passes before.
absl::StatusOr<v1::Rollout> FollowRollout(Session& session, const std::string& id, bool stop_at_halt,
                                          absl::Duration limit, const std::function<void(const v1::Rollout&)>& show);

// Shows how far a rollout is, on the error stream: one line that is written over on a terminal; otherwise a line for
// each change of state and, between them, at most one in five seconds. Ends its line when it is destroyed.
class RolloutProgress {
 public:
  explicit RolloutProgress(Terminal& terminal) : terminal_(terminal) {}
  ~RolloutProgress();
  void Show(const v1::Rollout& rollout);

 private:
  Terminal& terminal_;
  size_t width_ = 0;  // of what stands on the terminal's line
  v1::RolloutState state_ = v1::ROLLOUT_STATE_UNSPECIFIED;
  absl::Time next_ = absl::InfinitePast();
};

// "[#####.....] 50/100 enforced, 8 in flight, 2 failed": one line without its end.
std::string ProgressLine(const v1::Rollout& rollout, bool bar);

// How the command ends for a rollout in this state: OK when it is DONE and every sensor enforces the order; otherwise
// an error with the exit code of outcome.h. A running one is OK: nobody waited for it.
absl::Status OutcomeOf(const v1::Rollout& rollout);

}  // namespace bulkhead::controlplane::cli
