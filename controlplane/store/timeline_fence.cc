// Refuses a PostgreSQL server that another one has taken over from.
#include "controlplane/store/timeline_fence.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kComplainEvery = absl::Minutes(1);

}  // namespace

absl::StatusOr<std::unique_ptr<TimelineFence>> TimelineFence::Load(std::string file) {
  std::unique_ptr<TimelineFence> fence(new TimelineFence(std::move(file)));
  if (fence->file_.empty()) return fence;
  const absl::StatusOr<std::string> content = ReadFile(fence->file_);
  if (absl::IsNotFound(content.status())) return fence;
  RETURN_IF_ERROR(content.status());
  const std::vector<std::string> words = absl::StrSplit(*content, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &fence->newest_.system) ||
      !absl::SimpleAtoi(words[1], &fence->newest_.timeline)) {
    return absl::InvalidArgumentError(absl::StrCat(
        fence->file_, " must hold the system identifier and the timeline of the database; delete it to begin anew"));
  }
  return fence;
}

absl::Status TimelineFence::Check(const Server& server) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (server.system == newest_.system && server.timeline == newest_.timeline) return absl::OkStatus();
  if (server.system == newest_.system && server.timeline < newest_.timeline) {
    const absl::Status refused = absl::FailedPreconditionError(absl::StrCat(
        "this PostgreSQL is on timeline ", server.timeline, ", and another has taken over from it on timeline ",
        newest_.timeline, ": an old primary came back; stop it and make it a standby",
        file_.empty() ? "" : absl::StrCat(" (if you restored an old backup on purpose, delete ", file_, " first)")));
    if (absl::Now() >= next_complaint_) {
      LogError("a database server is refused", {{"error", refused.message()}});
      next_complaint_ = absl::Now() + kComplainEvery;
    }
    return refused;
  }
  if (!file_.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(file_, absl::StrCat(server.system, " ", server.timeline, "\n"), 0600));
  }
  newest_ = server;
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
