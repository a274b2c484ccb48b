// bulkheadctl audit: who ordered what, whether the record of it is intact, and the record itself, to keep elsewhere.
#include <algorithm>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/audit_file.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/outcome.h"
#include "controlplane/cli/render.h"
#include "controlplane/cli/time_flag.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr int kPageSize = 1000;

struct Flags {
  std::string sensor;
  int limit = 100;
};

absl::Status List(Session& session, const Flags& flags) {
  v1::ListAuditRecordsResponse all;
  std::string token;
  do {
    v1::ListAuditRecordsRequest request;
    request.set_page_size(std::min(kPageSize, flags.limit - all.records_size()));
    request.set_page_token(token);
    request.set_sensor(flags.sensor);
    ASSIGN_OR_RETURN(const auto page, session.Call(&v1::AuditService::Stub::ListAuditRecords, request));
    all.mutable_records()->MergeFrom(page.records());
    token = page.next_page_token();
  } while (!token.empty() && all.records_size() < flags.limit);
  return session.Print(all, RenderAuditRecords(all));
}

absl::Status Tampered(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the audit log was tampered with: ", what,
                                          "\n  to do: treat the database and its operators as suspect; compare "
                                          "with a backup from before that record"));
}

struct VerifyFlags {
  std::string file;
  std::string expected_text;
  std::optional<AuditHead> expected;
};

absl::Status VerifyFile(Session& session, const VerifyFlags& flags) {
  std::ifstream in(flags.file);
  if (!in) return UsageError(absl::StrCat("cannot read ", flags.file));
  const absl::StatusOr<AuditFile> file = VerifyAuditFile(in, flags.expected);
  if (absl::IsDataLoss(file.status())) return Tampered(file.status().message());
  RETURN_IF_ERROR(file.status());
  session.terminal().out << "intact: " << file->records << " records, " << file->first << " to " << file->last.sequence
                         << ", none missing or changed\n"
                         << "head: " << AuditHeadText(file->last.sequence, file->last.hash) << "\n";
  if (file->first > 1) {
    session.terminal().out << "what came before record " << file->first << " is not in the file and was not checked\n";
  }
  return absl::OkStatus();
}

// The record of that number as the control plane has it now.
absl::Status CheckExpected(Session& session, const AuditHead& expected) {
  v1::ExportAuditRecordsRequest request;
  request.set_from_sequence(expected.sequence);
  request.set_to_sequence(expected.sequence);
  request.set_page_size(1);
  ASSIGN_OR_RETURN(const auto page, session.Call(&v1::AuditService::Stub::ExportAuditRecords, request));
  if (page.records().empty()) return Tampered(absl::StrCat("record ", expected.sequence, " is missing"));
  if (page.records(0).hash() == expected.hash) return absl::OkStatus();
  return Tampered(absl::StrCat("record ", expected.sequence, " has another hash than the expected one"));
}

absl::Status Verify(Session& session, VerifyFlags flags) {
  if (!flags.expected_text.empty()) {
    ASSIGN_OR_RETURN(flags.expected, AuditHeadFromText(flags.expected_text));
  }
  if (!flags.file.empty()) return VerifyFile(session, flags);
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AuditService::Stub::VerifyAuditLog,
                                                     v1::VerifyAuditLogRequest(), "", absl::Minutes(5)));
  const std::string text =
      response.intact() ? absl::StrCat("intact: ", response.records_checked(), " records, none missing or changed\n")
                        : "";
  RETURN_IF_ERROR(session.Print(response, text));
  if (!response.intact()) {
    return Tampered(absl::StrCat("record ", response.first_bad_sequence(), ": ", response.problem()));
  }
  if (flags.expected && flags.expected->sequence > 0) return CheckExpected(session, *flags.expected);
  return absl::OkStatus();
}

struct ExportFlags {
  uint64_t from = 0;
  uint64_t to = 0;
  std::string since;
};

// Up to the end as it is now: what is ordered meanwhile is for the next export.
absl::Status Export(Session& session, const ExportFlags& flags) {
  ASSIGN_OR_RETURN(const auto head, session.Call(&v1::AuditService::Stub::GetAuditHead, v1::GetAuditHeadRequest()));
  v1::ExportAuditRecordsRequest request;
  request.set_page_size(kPageSize);
  request.set_from_sequence(flags.from);
  request.set_to_sequence(flags.to == 0 ? head.sequence() : std::min(flags.to, head.sequence()));
  if (!flags.since.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_since(), TimeFromFlag("--since", flags.since, session.now()));
  }
  if (head.sequence() == 0 || request.from_sequence() > request.to_sequence()) return absl::OkStatus();
  do {
    ASSIGN_OR_RETURN(const auto page, session.Call(&v1::AuditService::Stub::ExportAuditRecords, request));
    for (const v1::AuditRecord& record : page.records()) {
      ASSIGN_OR_RETURN(const std::string line, ToJsonLine(record));
      session.terminal().out << line;
    }
    request.clear_since();
    request.set_from_sequence(page.next_sequence());
  } while (request.from_sequence() != 0);
  session.terminal().out << std::flush;
  if (!session.terminal().out) return absl::DataLossError("the export could not be written completely");
  session.terminal().err << "head: " << AuditHeadText(head.sequence(), head.hash()) << "\n";
  return absl::OkStatus();
}

absl::Status Head(Session& session, const Flags&) {
  ASSIGN_OR_RETURN(const auto head, session.Call(&v1::AuditService::Stub::GetAuditHead, v1::GetAuditHeadRequest()));
  return session.Print(head, absl::StrCat(AuditHeadText(head.sequence(), head.hash()), "\n"));
}

}  // namespace

void AddAuditCommands(CLI::App& root, Action& action) {
  CLI::App* audit = root.add_subcommand("audit", "Who ordered what, when, and what came of it");
  audit->require_subcommand(1);

  const auto list_flags = std::make_shared<Flags>();
  CLI::App* list = AddVerb(*audit, action, "list", "List audit records, newest first",
                           "Example: bulkheadctl audit list --sensor web-1", list_flags, List);
  list->add_option("--sensor", list_flags->sensor, "Only records about this sensor (name or id)")->type_name("SENSOR");
  list->add_option("--limit", list_flags->limit, "At most this many (default 100)")
      ->type_name("NUMBER")
      ->check(CLI::PositiveNumber);

  const auto verify_flags = std::make_shared<VerifyFlags>();
  CLI::App* verify = AddVerb(
      *audit, action, "verify", "Check the hash chain, at the control plane or in an exported file",
      "Exit code 1 and the first wrong record if one was changed or removed. Whoever can write the database can also\n"
      "compute new hashes: only a head that was kept elsewhere shows that.\n"
      "Example: bulkheadctl audit verify --file audit.jsonl --expect-head \"$(cat head.txt)\"",
      verify_flags, Verify);
  verify->add_option("--file", verify_flags->file, "Check this export; needs no control plane")->type_name("FILE");
  verify->add_option("--expect-head", verify_flags->expected_text, "A head that was kept: it must still be in the log")
      ->type_name("SEQUENCE:HASH");

  const auto export_flags = std::make_shared<ExportFlags>();
  CLI::App* dump = AddVerb(*audit, action, "export", "Write audit records with their hashes, one JSON object a line",
                           "Example: bulkheadctl audit export > audit.jsonl", export_flags, Export);
  dump->add_option("--from", export_flags->from, "First record (default: the first)")->type_name("SEQUENCE");
  dump->add_option("--to", export_flags->to, "Last record (default: the last)")->type_name("SEQUENCE");
  dump->add_option("--since", export_flags->since, "From the first record of this time on")->type_name("TIME|AGE");

  AddVerb(*audit, action, "head", "Print the last record's number and hash, to keep where the database's owner is not",
          "Example: bulkheadctl audit head >> /mnt/write-once/audit-heads", std::make_shared<Flags>(), Head);
}

}  // namespace bulkhead::controlplane::cli
