// The command log on disk.
#include "sensor/store/command_log_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"

namespace bulkhead::sensor {
namespace {

constexpr char kNoText[] = ".";
constexpr char kNoResult[] = "-";
constexpr char kOfGuard[] = "guard";

std::string EncodeText(const std::string& text) {
  return text.empty() ? kNoText : ToHex(text);
}

bool DecodeText(absl::string_view field, std::string* text) {
  if (field == kNoText) return true;
  if (field.empty() || field.size() % 2 != 0 || !std::all_of(field.begin(), field.end(), absl::ascii_isxdigit)) {
    return false;
  }
  *text = absl::HexStringToBytes(field);
  return true;
}

bool DecodeRecord(absl::string_view line, CommandRecord* record) {
  std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  if (!IsUuid(fields[0])) return false;
  record->id = std::string(fields[0]);
  record->of_guard = fields.back() == kOfGuard;
  if (record->of_guard) fields.pop_back();
  if (fields.size() == 2) return fields[1] == kNoResult;
  int outcome = 0;
  CommandResult result;
  if (fields.size() != 4 || !absl::SimpleAtoi(fields[1], &outcome) || !DecodeText(fields[2], &result.found) ||
      !DecodeText(fields[3], &result.message)) {
    return false;
  }
  if (outcome < static_cast<int>(CommandOutcome::kGone) || outcome > static_cast<int>(CommandOutcome::kFailed))
    return false;
  result.outcome = static_cast<CommandOutcome>(outcome);
  record->result = std::move(result);
  return true;
}

}  // namespace

std::string EncodeCommandRecords(const std::vector<CommandRecord>& records) {
  std::string out;
  for (const CommandRecord& record : records) {
    absl::StrAppend(&out, record.id, " ");
    if (record.result.has_value()) {
      absl::StrAppend(&out, static_cast<int>(record.result->outcome), " ", EncodeText(record.result->found), " ",
                      EncodeText(record.result->message));
    } else {
      absl::StrAppend(&out, kNoResult);
    }
    absl::StrAppend(&out, record.of_guard ? " " : "", record.of_guard ? kOfGuard : "", "\n");
  }
  return out;
}

absl::StatusOr<std::vector<CommandRecord>> DecodeCommandRecords(absl::string_view text) {
  std::vector<CommandRecord> out;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    CommandRecord record;
    if (!DecodeRecord(line, &record)) {
      return absl::DataLossError(absl::StrCat("line ", out.size() + 1, " is not a command record"));
    }
    out.push_back(std::move(record));
  }
  return out;
}

CommandLogStore::CommandLogStore(const std::string& state_dir)
    : file_(absl::StrCat(state_dir, "/commands"), "command-log", 1) {}

absl::StatusOr<std::vector<CommandRecord>> CommandLogStore::Load() const {
  const absl::StatusOr<std::string> text = file_.Read();
  if (absl::IsNotFound(text.status())) return std::vector<CommandRecord>();
  RETURN_IF_ERROR(text.status());
  return DecodeCommandRecords(*text);
}

absl::Status CommandLogStore::Save(const std::vector<CommandRecord>& records) const {
  return file_.Write(EncodeCommandRecords(records));
}

}  // namespace bulkhead::sensor
