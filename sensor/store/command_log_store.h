// The command log on disk: what makes a command at-most-once across a restart.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sensor/domain/command_log.h"
#include "sensor/store/state_file.h"

namespace bulkhead::sensor {

// One file, `commands`, rewritten at each change: it holds at most CommandLog::kRetained records. Not thread safe.
class CommandLogStore {
 public:
  explicit CommandLogStore(const std::string& state_dir);

  // Empty when there is no file. DataLoss: the file was damaged and is kept aside.
  absl::StatusOr<std::vector<CommandRecord>> Load() const;

  absl::Status Save(const std::vector<CommandRecord>& records) const;

 private:
  StateFile file_;
};

// One line a record: "<id> -" while it has no result, else "<id> <outcome> <found as hex> <message as hex>" with "."
// for empty text; " guard" follows when it is an order to the tamper guard.
std::string EncodeCommandRecords(const std::vector<CommandRecord>& records);

// DataLoss names the first line that is not one of those.
absl::StatusOr<std::vector<CommandRecord>> DecodeCommandRecords(absl::string_view text);

}  // namespace bulkhead::sensor
