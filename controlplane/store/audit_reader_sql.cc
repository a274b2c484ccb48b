// The audit log read back: by page, and from end to end to check the chain.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/audit_chain.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kCheckedAtOnce = 1000;

constexpr char kSelect[] =
    "SELECT sequence, recorded_at, actor, action, target, request_id, outcome, details, hash FROM audit_log ";

AuditRecord RecordFrom(const pqxx::row& row) {
  AuditRecord record;
  record.sequence = row["sequence"].as<uint64_t>();
  record.time = TimeFrom(row["recorded_at"]);
  record.actor = row["actor"].c_str();
  record.action = row["action"].c_str();
  record.target = row["target"].c_str();
  record.request_id = row["request_id"].c_str();
  record.outcome = row["outcome"].c_str();
  record.details_json = row["details"].c_str();
  record.hash = BytesFrom(row["hash"]);
  return record;
}

struct Head {
  uint64_t sequence = 0;
  std::string hash;
  uint64_t last_record = 0;
};

// The head and the last record, as one statement sees them, so that an order in between cannot make them differ.
absl::StatusOr<Head> ReadHead(PgTransaction& tx) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      tx.Execute("read the head of the audit log",
                 "SELECT h.sequence, h.hash, (SELECT coalesce(max(sequence), 0) FROM audit_log) FROM audit_heads h"));
  if (rows.empty())
    return absl::InternalError("the audit log has lost its head (table audit_heads is empty); restore a backup");
  return Head{rows.front()[0].as<uint64_t>(), BytesFrom(rows.front()[1]), rows.front()[2].as<uint64_t>()};
}

// Feeds the records up to the head to the checker, a part at a time.
absl::Status WalkChain(PgTransaction& tx, const Head& head, AuditChainChecker* checker) {
  uint64_t after = 0;
  for (;;) {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("read the audit log",
                   absl::StrCat(kSelect, "WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3"), after,
                   head.sequence, kCheckedAtOnce));
    ASSIGN_OR_RETURN(const std::vector<AuditRecord> records, ReadRows("read the audit log", rows, RecordFrom));
    for (const AuditRecord& record : records) {
      if (!checker->Take(record)) return absl::OkStatus();
    }
    if (records.size() < kCheckedAtOnce) break;
    after = records.back().sequence;
  }
  checker->Finish(head.sequence, head.hash);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Page<AuditRecord>> PgStore::ListAudit(const std::string& target, int page_size,
                                                     const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("audit/", target);
  ASSIGN_OR_RETURN(const std::vector<std::string> before, DecodePageToken(list, 1, page_token));
  Page<AuditRecord> page;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("list audit records",
                   absl::StrCat(kSelect,
                                "WHERE ($1 = '' OR target = $1) AND ($2 = '' OR sequence < NULLIF($2, '')::bigint)"
                                " ORDER BY sequence DESC LIMIT $3"),
                   WithoutNul(target), before.empty() ? std::string() : before[0], limit + 1));
    ASSIGN_OR_RETURN(std::vector<AuditRecord> records, ReadRows("list audit records", rows, RecordFrom));
    page = MakePage(std::move(records), limit, list,
                    [](const AuditRecord& last) { return std::vector<std::string>{absl::StrCat(last.sequence)}; });
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<Store::AuditCheck> PgStore::VerifyAudit() {
  AuditCheck check;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Head head, ReadHead(tx));
    AuditChainChecker checker;
    RETURN_IF_ERROR(WalkChain(tx, head, &checker));
    check = AuditCheck{checker.records(), checker.first_bad_sequence(), checker.problem()};
    if (check.first_bad == 0 && head.last_record > head.sequence) {
      check.first_bad = head.sequence + 1;
      check.problem =
          absl::StrCat("there are records after ", head.sequence, ", which the log's head names as the last");
    }
    return absl::OkStatus();
  }));
  return check;
}

absl::StatusOr<Store::AuditHead> PgStore::GetAuditHead() {
  AuditHead head;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Head read, ReadHead(tx));
    head = {read.sequence, read.hash};
    return absl::OkStatus();
  }));
  return head;
}

absl::StatusOr<Store::AuditSpan> PgStore::ExportAudit(uint64_t from, uint64_t to, std::optional<absl::Time> since,
                                                      int limit) {
  AuditSpan span;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    // Times do not grow with the sequence if a clock was set back: the span starts at the first record that is late
    // enough, and has no gaps.
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute(
            "export the audit log",
            absl::StrCat(kSelect,
                         "WHERE sequence >= $1 AND ($2 = 0 OR sequence <= $2) AND ($3 = '' OR sequence >="
                         " (SELECT min(sequence) FROM audit_log WHERE recorded_at >= NULLIF($3, '')::timestamptz))"
                         " ORDER BY sequence LIMIT $4"),
            from, to, TimeText(since), limit + 1));
    ASSIGN_OR_RETURN(span.records, ReadRows("export the audit log", rows, RecordFrom));
    span.next = 0;
    if (span.records.size() > static_cast<size_t>(limit)) {
      span.next = span.records.back().sequence;
      span.records.pop_back();
    }
    span.previous_hash = AuditGenesisHash();
    if (span.records.empty() || span.records.front().sequence == 1) return absl::OkStatus();
    ASSIGN_OR_RETURN(const pqxx::result before,
                     tx.Execute("export the audit log", "SELECT hash FROM audit_log WHERE sequence = $1",
                                span.records.front().sequence - 1));
    // None: the log is broken here, and its reader will find that.
    if (!before.empty()) span.previous_hash = BytesFrom(before.front()[0]);
    return absl::OkStatus();
  }));
  return span;
}

}  // namespace bulkhead::controlplane
