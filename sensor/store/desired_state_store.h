// The last desired state that was accepted, so that it can be enforced again at boot before there is a network.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sensor/store/state_file.h"

namespace bulkhead::sensor {

// What was found on disk.
struct StoredState {
  std::string payload;
  bool staged = false;  // accepted and perhaps applied, not committed
};

// Two files: `desired-state` is in force, `desired-state.next` was accepted and is being applied. After a crash between
// the two the next one is tried first, so the disk is never behind the kernel, and a state that the kernel refused is
// never the only one. Payloads are opaque here. Not thread safe.
class DesiredStateStore {
 public:
  explicit DesiredStateStore(const std::string& state_dir);

  // Before applying: writes the next one.
  absl::Status Stage(absl::string_view payload) const;
  // It is in force: the next one becomes the current one.
  absl::Status Commit() const;
  // It was refused: forgets the next one.
  absl::Status Discard() const;

  // What to enforce at start, the one to try first at the front; empty when there is nothing. A damaged file is kept
  // aside (see StateFile), left out, and told in `problems`.
  std::vector<StoredState> Load(std::vector<std::string>* problems) const;

 private:
  StateFile current_;
  StateFile next_;
};

}  // namespace bulkhead::sensor
