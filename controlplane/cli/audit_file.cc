// An exported audit log in a file, checked without a control plane.
#include "controlplane/cli/audit_file.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/v1/audit.pb.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/cli/allow_list_file.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/domain/audit_chain.h"
#include "google/protobuf/util/json_util.h"

namespace bulkhead::controlplane::cli {
namespace {

absl::Status Broken(uint64_t sequence, absl::string_view problem) {
  return absl::DataLossError(absl::StrCat("record ", sequence, ": ", problem));
}

absl::StatusOr<v1::AuditRecord> RecordFromLine(const std::string& line, uint64_t number) {
  v1::AuditRecord record;
  const auto parsed = google::protobuf::util::JsonStringToMessage(line, &record);
  if (!parsed.ok() || record.sequence() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", number, " is no audit record as `audit export` writes it: ", parsed.ToString()));
  }
  return record;
}

AuditRecord FromProto(const v1::AuditRecord& record) {
  return {.sequence = record.sequence(),
          .time = absl::FromUnixSeconds(record.time().seconds()) + absl::Nanoseconds(record.time().nanos()),
          .actor = record.actor(),
          .action = record.action(),
          .target = record.target(),
          .request_id = record.request_id(),
          .outcome = record.outcome(),
          .details_json = record.details_json(),
          .hash = record.hash()};
}

// Takes one line's record.
absl::Status Check(const v1::AuditRecord& record, const std::optional<AuditHead>& expected, AuditChainChecker& chain) {
  if (!chain.Take(FromProto(record))) return Broken(chain.first_bad_sequence(), chain.problem());
  // The hash covers whole microseconds: what is finer was put there later.
  if (record.time().nanos() % 1000 != 0) return Broken(record.sequence(), "its time was changed");
  if (expected && expected->sequence == record.sequence() && expected->hash != record.hash()) {
    return Broken(record.sequence(), absl::StrCat("its hash is ", ToHex(record.hash()), ", and ", ToHex(expected->hash),
                                                  " was expected: the log was rewritten"));
  }
  return absl::OkStatus();
}

absl::Status CheckCovers(const AuditFile& file, const std::optional<AuditHead>& expected) {
  if (!expected || expected->sequence == 0) return absl::OkStatus();
  if (expected->sequence > file.last.sequence) {
    return Broken(file.last.sequence + 1,
                  absl::StrCat("records up to ", expected->sequence, " are missing at the end"));
  }
  if (expected->sequence < file.first) {
    return absl::InvalidArgumentError(absl::StrCat("the file begins with record ", file.first, ", after the expected ",
                                                   expected->sequence, "; export from that one on"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AuditHead> AuditHeadFromText(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  AuditHead head;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &head.sequence)) {
    return UsageError(absl::StrCat("\"", text, "\" is no head; write SEQUENCE:HASH as `bulkheadctl audit head` does"));
  }
  ASSIGN_OR_RETURN(head.hash, DigestFromHex("the hash of a head", parts[1]));
  return head;
}

std::string AuditHeadText(uint64_t sequence, const std::string& hash) {
  return absl::StrCat(sequence, ":", ToHex(hash));
}

absl::StatusOr<AuditFile> VerifyAuditFile(std::istream& in, const std::optional<AuditHead>& expected) {
  AuditFile file;
  AuditChainChecker chain;
  uint64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ASSIGN_OR_RETURN(const v1::AuditRecord record, RecordFromLine(line, ++number));
    if (number == 1) {
      file.first = record.sequence();
      // The first record of all must follow nothing; what a later one follows is only known to the log.
      if (file.first > 1) chain = AuditChainChecker(file.first - 1, record.previous_hash());
    }
    if (record.previous_hash() != chain.last_hash()) {
      return Broken(record.sequence(), "it does not follow the record before it");
    }
    RETURN_IF_ERROR(Check(record, expected, chain));
  }
  file.records = chain.records();
  file.last = {chain.last_sequence(), chain.last_hash()};
  RETURN_IF_ERROR(CheckCovers(file, expected));
  return file;
}

}  // namespace bulkhead::controlplane::cli
