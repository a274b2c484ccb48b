// The hash of the tamper guard's one-time offline code, on disk until it is used.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/store/state_file.h"

namespace bulkhead::sensor {

// One file, `guard-code`. Not thread safe.
class GuardCodeStore {
 public:
  explicit GuardCodeStore(const std::string& state_dir);

  // The hash, 32 raw bytes; empty: there is no code. DataLoss: the file was damaged and is kept aside.
  absl::StatusOr<std::string> Load() const;

  // Replaces it: a code from before is void.
  absl::Status Save(const std::string& hash) const;

  // After OK the code is used up, also after a crash.
  absl::Status Forget() const;

 private:
  StateFile file_;
};

}  // namespace bulkhead::sensor
