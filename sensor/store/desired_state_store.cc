// The last desired state that was accepted.
#include "sensor/store/desired_state_store.h"

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {
namespace {

constexpr char kKind[] = "desired-state";
constexpr int kVersion = 1;

}  // namespace

DesiredStateStore::DesiredStateStore(const std::string& state_dir)
    : current_(absl::StrCat(state_dir, "/desired-state"), kKind, kVersion),
      next_(absl::StrCat(state_dir, "/desired-state.next"), kKind, kVersion) {}

absl::Status DesiredStateStore::Stage(absl::string_view payload) const {
  return next_.Write(payload);
}

absl::Status DesiredStateStore::Commit() const {
  if (rename(next_.path().c_str(), current_.path().c_str()) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("rename ", next_.path(), " to ", current_.path()));
  }
  return absl::OkStatus();
}

absl::Status DesiredStateStore::Discard() const {
  return next_.Remove();
}

std::vector<StoredState> DesiredStateStore::Load(std::vector<std::string>* problems) const {
  std::vector<StoredState> out;
  for (const StateFile* file : {&next_, &current_}) {
    absl::StatusOr<std::string> payload = file->Read();
    if (payload.ok()) {
      out.push_back({*std::move(payload), file == &next_});
    } else if (!absl::IsNotFound(payload.status())) {
      problems->push_back(std::string(payload.status().message()));
    }
  }
  return out;
}

}  // namespace bulkhead::sensor
