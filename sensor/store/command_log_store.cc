// The command log on disk.
#include "sensor/store/command_log_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"

namespace bulkhead::sensor {
namespace {

constexpr char kNoText[] = ".";
constexpr char kNoResult[] = "-";
constexpr char kOfGuard[] = "guard";
constexpr char kOfGroup[] = "group";

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

bool DecodeOutcome(absl::string_view field, CommandOutcome* outcome) {
  int number = 0;
  if (!absl::SimpleAtoi(field, &number) || number < static_cast<int>(CommandOutcome::kGone) ||
      number > static_cast<int>(CommandOutcome::kFailed)) {
    return false;
  }
  *outcome = static_cast<CommandOutcome>(number);
  return true;
}

// Takes the last word off a line when it says which kind of command it was; none does for the kill of one process.
CommandKind TakeKind(std::vector<absl::string_view>* fields) {
  const CommandKind kind = fields->back() == kOfGuard   ? CommandKind::kGuard
                           : fields->back() == kOfGroup ? CommandKind::kKillGroup
                                                        : CommandKind::kKillProcess;
  if (kind != CommandKind::kKillProcess) fields->pop_back();
  return kind;
}

constexpr absl::string_view kSigned = "signed:";

// The same with "signed:DIGEST:SECONDS" when there is one: its statement, and when that expires. False: it is
// malformed.
bool TakeStatement(std::vector<absl::string_view>* fields, CommandRecord* record) {
  absl::string_view last = fields->back();
  if (!absl::ConsumePrefix(&last, kSigned)) return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(last, ':');
  int64_t seconds = 0;
  if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &seconds)) return false;
  record->statement_digest = std::string(parts[0]);
  record->statement_expires_at = absl::FromUnixSeconds(seconds);
  fields->pop_back();
  return true;
}

// "KILLED REFUSED STILL-THERE" and four fields for each process.
bool DecodeEvidence(absl::Span<const absl::string_view> fields, KillGroupEvidence* evidence) {
  KillCounts& counts = evidence->counts;
  if (fields.size() < 3 || (fields.size() - 3) % 4 != 0 || !absl::SimpleAtoi(fields[0], &counts.killed) ||
      !absl::SimpleAtoi(fields[1], &counts.refused) || !absl::SimpleAtoi(fields[2], &counts.still_there)) {
    return false;
  }
  for (size_t i = 3; i < fields.size(); i += 4) {
    KilledProcess process;
    if (!absl::SimpleAtoi(fields[i], &process.pid) || !DecodeOutcome(fields[i + 1], &process.outcome) ||
        !DecodeText(fields[i + 2], &process.found) || !DecodeText(fields[i + 3], &process.message)) {
      return false;
    }
    evidence->processes.push_back(std::move(process));
  }
  return true;
}

std::string EncodeEvidence(const KillGroupEvidence& evidence) {
  std::string out =
      absl::StrCat(" ", evidence.counts.killed, " ", evidence.counts.refused, " ", evidence.counts.still_there);
  for (const KilledProcess& process : evidence.processes) {
    absl::StrAppend(&out, " ", process.pid, " ", static_cast<int>(process.outcome), " ", EncodeText(process.found), " ",
                    EncodeText(process.message));
  }
  return out;
}

bool DecodeRecord(absl::string_view line, CommandRecord* record) {
  std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  if (!IsUuid(fields[0])) return false;
  record->id = std::string(fields[0]);
  if (!TakeStatement(&fields, record)) return false;
  record->kind = TakeKind(&fields);
  if (fields.size() == 2) return fields[1] == kNoResult;
  CommandResult result;
  if (fields.size() < 4 || !DecodeOutcome(fields[1], &result.outcome) || !DecodeText(fields[2], &result.found) ||
      !DecodeText(fields[3], &result.message)) {
    return false;
  }
  if (fields.size() > 4) {
    if (record->kind != CommandKind::kKillGroup) return false;
    if (!DecodeEvidence(absl::MakeConstSpan(fields).subspan(4), &result.group.emplace())) return false;
  }
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
      if (record.result->group.has_value()) out += EncodeEvidence(*record.result->group);
    } else {
      absl::StrAppend(&out, kNoResult);
    }
    if (record.kind == CommandKind::kGuard) absl::StrAppend(&out, " ", kOfGuard);
    if (record.kind == CommandKind::kKillGroup) absl::StrAppend(&out, " ", kOfGroup);
    if (!record.statement_digest.empty()) {
      // Rounded up: it is remembered at least as long as it is good.
      absl::StrAppend(&out, " ", kSigned, record.statement_digest, ":",
                      absl::ToUnixSeconds(record.statement_expires_at) + 1);
    }
    out += '\n';
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
