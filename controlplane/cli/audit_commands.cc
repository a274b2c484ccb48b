// bulkheadctl audit list and verify: who ordered what, and whether the record of it is intact.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/render.h"

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

absl::Status Verify(Session& session, const Flags&) {
  ASSIGN_OR_RETURN(const auto response, session.Call(&v1::AuditService::Stub::VerifyAuditLog,
                                                     v1::VerifyAuditLogRequest(), "", absl::Minutes(5)));
  const std::string text =
      response.intact() ? absl::StrCat("intact: ", response.records_checked(), " records, none missing or changed\n")
                        : "";
  RETURN_IF_ERROR(session.Print(response, text));
  if (response.intact()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the audit log was tampered with: record ", response.first_bad_sequence(),
                                          ": ", response.problem(),
                                          "\n  to do: treat the database and its operators as suspect; compare "
                                          "with a backup from before that record"));
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

  AddVerb(*audit, action, "verify", "Check the hash chain from the first record to the last",
          "Exit code 1 and the first wrong record if one was changed or removed.\nExample: bulkheadctl audit verify",
          std::make_shared<Flags>(), Verify);
}

}  // namespace bulkhead::controlplane::cli
