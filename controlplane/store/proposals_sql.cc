// Signed releases, and signed orders as they were submitted, in the database.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kState[] = "CASE WHEN state = 'pending' AND expires_at < now() THEN 'expired' ELSE state END";

std::string Select() {
  return absl::StrCat("SELECT id, ", kState,
                      " AS state, statement_sha256, signed_order, approvals, signatures_required, allow_degraded,"
                      " reason, created_by, created_at, expires_at, ended_by, ended_at, results FROM order_proposals ");
}

constexpr std::pair<ProposalState, const char*> kStates[] = {{ProposalState::kPending, "pending"},
                                                             {ProposalState::kOrdered, "ordered"},
                                                             {ProposalState::kRejected, "rejected"},
                                                             {ProposalState::kExpired, "expired"}};

std::string StateText(ProposalState wanted) {
  for (const auto& [state, text] : kStates) {
    if (state == wanted) return text;
  }
  return "";
}

ProposalState StateFrom(const pqxx::field& field) {
  for (const auto& [state, text] : kStates) {
    if (field.c_str() == std::string(text)) return state;
  }
  throw pqxx::conversion_error(absl::StrCat("\"", field.c_str(), "\" is no state of a proposal"));
}

std::vector<std::string> ApprovalTexts(const OrderProposal& proposal) {
  std::vector<std::string> texts;
  for (const OrderApproval& approval : proposal.approvals) {
    texts.push_back(absl::StrCat(absl::ToUnixMicros(approval.time), " ", approval.key_id, " ", approval.operator_name));
  }
  return texts;
}

OrderApproval ApprovalFrom(const std::string& text) {
  const std::vector<std::string> words = absl::StrSplit(text, absl::MaxSplits(' ', 2));
  int64_t micros = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &micros)) {
    throw pqxx::conversion_error("column approvals holds an element that is not a time, a key and an operator");
  }
  return {words[2], words[1], absl::FromUnixMicros(micros)};
}

OrderProposal ProposalFrom(const pqxx::row& row) {
  OrderProposal proposal;
  proposal.id = row["id"].c_str();
  proposal.state = StateFrom(row["state"]);
  proposal.statement_sha256 = BytesFrom(row["statement_sha256"]);
  proposal.signed_order = BytesFrom(row["signed_order"]);
  for (const std::string& text : TextArrayFrom(row["approvals"])) proposal.approvals.push_back(ApprovalFrom(text));
  proposal.signatures_required = row["signatures_required"].as<uint32_t>();
  proposal.allow_degraded = row["allow_degraded"].as<bool>();
  proposal.reason = row["reason"].c_str();
  proposal.created_by = row["created_by"].c_str();
  proposal.created_at = TimeFrom(row["created_at"]);
  proposal.expires_at = TimeFrom(row["expires_at"]);
  proposal.ended_by = row["ended_by"].c_str();
  proposal.ended_at = OptionalTimeFrom(row["ended_at"]);
  proposal.results = BytesFrom(row["results"]);
  return proposal;
}

}  // namespace

absl::Status PgTransaction::PutSignedRelease(const SignedRelease& release) {
  return Execute("store a signed release",
                 "INSERT INTO signed_releases (sensor_id, slot, signed_order, expires_at)"
                 " VALUES ($1::uuid, $2, $3, $4::timestamptz) ON CONFLICT (sensor_id, slot)"
                 " DO UPDATE SET signed_order = EXCLUDED.signed_order, expires_at = EXCLUDED.expires_at",
                 release.sensor_id, release.slot, Bytes(release.signed_order), TimeText(release.expires_at))
      .status();
}

absl::StatusOr<std::vector<std::string>> PgTransaction::SignedReleases(const std::string& sensor_id) {
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("read signed releases",
                                                    "SELECT signed_order FROM signed_releases WHERE sensor_id = "
                                                    "$1::uuid AND expires_at > now() ORDER BY slot",
                                                    sensor_id));
  return ReadRows("read signed releases", rows, [](const pqxx::row& row) { return BytesFrom(row[0]); });
}

absl::Status PgTransaction::InsertProposal(const OrderProposal& proposal) {
  ASSIGN_OR_RETURN(
      const pqxx::result inserted,
      Execute("store a proposal",
              "INSERT INTO order_proposals (id, statement_sha256, signed_order, approvals, signatures_required,"
              " allow_degraded, reason, created_by, expires_at)"
              " VALUES ($1::uuid, $2, $3, $4::text[], $5, $6, $7, $8, $9::timestamptz)"
              " ON CONFLICT (statement_sha256) DO NOTHING",
              proposal.id, Bytes(proposal.statement_sha256), Bytes(proposal.signed_order),
              TextArray(ApprovalTexts(proposal)), proposal.signatures_required, proposal.allow_degraded,
              proposal.reason, proposal.created_by, TimeText(proposal.expires_at)));
  return inserted.affected_rows() == 0 ? OrderAlreadySubmitted() : absl::OkStatus();
}

absl::StatusOr<OrderProposal> PgTransaction::GetProposal(const std::string& proposal_id, bool lock) {
  if (!IsUuid(proposal_id)) return ProposalNotFound(proposal_id);
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read a proposal", absl::StrCat(Select(), "WHERE id = $1::uuid", lock ? " FOR UPDATE" : ""),
                           proposal_id));
  if (rows.empty()) return ProposalNotFound(proposal_id);
  return ReadRow("read a proposal", rows.front(), ProposalFrom);
}

absl::StatusOr<Page<OrderProposal>> PgTransaction::ListProposals(std::optional<ProposalState> state, int page_size,
                                                                 const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string wanted = state ? StateText(*state) : "";
  const std::string list = absl::StrCat("proposals/", wanted);
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 2, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list proposals",
              absl::StrCat(Select(), "WHERE ($1 = '' OR ", kState,
                           " = $1)"
                           " AND ($2 = '' OR (created_at, id) < (NULLIF($2, '')::timestamptz, NULLIF($3, '')::uuid))"
                           " ORDER BY created_at DESC, id DESC LIMIT $4"),
              wanted, after.empty() ? std::string() : after[0], after.empty() ? std::string() : after[1], limit + 1));
  ASSIGN_OR_RETURN(std::vector<OrderProposal> proposals, ReadRows("list proposals", rows, ProposalFrom));
  return MakePage(std::move(proposals), limit, list, [](const OrderProposal& last) {
    return std::vector<std::string>{TimeText(last.created_at), last.id};
  });
}

absl::Status PgTransaction::UpdateProposal(const OrderProposal& proposal) {
  return Execute("update a proposal",
                 "UPDATE order_proposals SET state = $2, signed_order = $3, approvals = $4::text[], ended_by = $5,"
                 " results = $6, ended_at = CASE WHEN $2 = 'pending' THEN NULL ELSE clock_timestamp() END"
                 " WHERE id = $1::uuid",
                 proposal.id, StateText(proposal.state), Bytes(proposal.signed_order),
                 TextArray(ApprovalTexts(proposal)), proposal.ended_by, Bytes(proposal.results))
      .status();
}

}  // namespace bulkhead::controlplane
