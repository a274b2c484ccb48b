// Following a rollout to its end, with a progress bar for people and lines for logs.
#include "controlplane/cli/rollout_follow.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr absl::Duration kReconnectDelay = absl::Milliseconds(300);
constexpr absl::Duration kBetweenLines = absl::Seconds(5);
constexpr size_t kBarWidth = 30;

uint64_t TotalOf(const v1::Rollout& rollout) {
  return uint64_t{rollout.pending()} + rollout.ordered() + rollout.enforced() + rollout.failed();
}

bool IsOver(const v1::Rollout& rollout, bool stop_at_halt) {
  return rollout.state() == v1::ROLLOUT_STATE_DONE || rollout.state() == v1::ROLLOUT_STATE_CANCELLED ||
         (stop_at_halt && rollout.state() == v1::ROLLOUT_STATE_HALTED);
}

std::string Failures(const v1::Rollout& rollout) {
  return absl::StrCat("\n  see: bulkheadctl rollout targets ", rollout.id(), " --state failed");
}

}  // namespace

absl::StatusOr<v1::Rollout> FollowRollout(Session& session, const std::string& id, bool stop_at_halt,
                                          absl::Duration limit, const std::function<void(const v1::Rollout&)>& show) {
  RETURN_IF_ERROR(session.Connect());
  v1::RolloutService::Stub stub(session.channel());
  v1::WatchRolloutRequest request;
  request.set_id(id);
  const absl::Time deadline = absl::Now() + limit;
  do {
    grpc::ClientContext context;
    if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
    const auto reader = stub.WatchRollout(&context, request);
    v1::WatchRolloutResponse change;
    bool seen = false;
    while (!seen && reader->Read(&change)) {
      show(change.rollout());
      seen = !session.terminal().out || IsOver(change.rollout(), stop_at_halt);
    }
    // Not when the other side has ended it: why it did would be lost.
    if (seen) context.TryCancel();
    const grpc::Status ended = reader->Finish();
    if (seen) return change.rollout();
    const bool over = ended.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    const bool lost = ended.error_code() == grpc::StatusCode::UNAVAILABLE || ended.ok();
    if (!lost && !over) return DescribeCallError(ended, {session.connection.server, ""});
    absl::SleepFor(std::min(kReconnectDelay, std::max(deadline - absl::Now(), absl::ZeroDuration())));
  } while (absl::Now() < deadline);
  return NotConverged(absl::StrCat("the rollout has not ended within ", absl::FormatDuration(limit),
                                   " and goes on\n  to do: follow it with bulkheadctl rollout watch ", id,
                                   ", or stop it with bulkheadctl rollout cancel ", id));
}

RolloutProgress::~RolloutProgress() {
  if (width_ != 0) terminal_.err << "\n" << std::flush;
}

void RolloutProgress::Show(const v1::Rollout& rollout) {
  const std::string line = ProgressLine(rollout, terminal_.interactive);
  if (terminal_.interactive) {
    const size_t blanks = width_ > line.size() ? width_ - line.size() : 0;
    terminal_.err << "\r" << line << std::string(blanks, ' ') << std::flush;
    width_ = line.size();
    return;
  }
  const absl::Time now = absl::Now();
  if (rollout.state() == state_ && now < next_) return;
  state_ = rollout.state();
  next_ = now + kBetweenLines;
  terminal_.err << line << "\n" << std::flush;
}

std::string ProgressLine(const v1::Rollout& rollout, bool bar) {
  const uint64_t total = TotalOf(rollout);
  std::string line;
  if (bar) {
    const size_t filled = total == 0 ? 0 : kBarWidth * (uint64_t{rollout.enforced()} + rollout.failed()) / total;
    line = absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "] ");
  }
  absl::StrAppend(&line, rollout.enforced(), "/", total, " enforced, ", rollout.ordered(), " in flight, ",
                  rollout.failed(), " failed");
  if (rollout.state() != v1::ROLLOUT_STATE_RUNNING) absl::StrAppend(&line, ", ", Word(rollout.state()));
  return line;
}

absl::Status OutcomeOf(const v1::Rollout& rollout) {
  switch (rollout.state()) {
    case v1::ROLLOUT_STATE_HALTED:
      return Halted(absl::StrCat("the rollout halted: ", Printable(rollout.halted_because()), Failures(rollout),
                                 "\n  to do: bulkheadctl rollout resume ", rollout.id(),
                                 ", or bulkheadctl rollout cancel ", rollout.id()));
    case v1::ROLLOUT_STATE_CANCELLED:
      return Cancelled(absl::StrCat("the rollout was cancelled; ", rollout.pending(), " of ", TotalOf(rollout),
                                    " sensors were not ordered"));
    case v1::ROLLOUT_STATE_DONE:
      if (rollout.failed() == 0) return absl::OkStatus();
      return NotConverged(absl::StrCat("the rollout is done, but ", rollout.failed(), " of ", TotalOf(rollout),
                                       " sensors failed", Failures(rollout)));
    default:
      return absl::OkStatus();
  }
}

}  // namespace bulkhead::controlplane::cli
