// The audit log in the database: appended to, never changed.
#include "common/status_macros.h"
#include "controlplane/domain/audit_chain.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {

absl::Status PgTransaction::AppendAudit(const AuditRecord& record) {
  // The lock on the one row of audit_heads makes appenders queue; without it two records would follow the same one.
  ASSIGN_OR_RETURN(const pqxx::result head,
                   Execute("lock the audit log",
                           "SELECT sequence, hash, clock_timestamp() FROM audit_heads WHERE only_row FOR UPDATE"));
  if (head.size() != 1)
    return absl::InternalError("the audit log has lost its head (table audit_heads is empty); restore a backup");
  AuditRecord next = record;
  next.sequence = head.front()[0].as<uint64_t>() + 1;
  ASSIGN_OR_RETURN(next.time,
                   ReadRow("read the time", head.front(), [](const pqxx::row& row) { return TimeFrom(row[2]); }));
  next.hash = AuditRecordHash(BytesFrom(head.front()[1]), next);
  RETURN_IF_ERROR(
      Execute("append to the audit log",
              "INSERT INTO audit_log (sequence, recorded_at, actor, action, target, request_id, outcome, details, hash)"
              " VALUES ($1, $2::timestamptz, $3, $4, $5, $6, $7, $8, $9)",
              next.sequence, TimeText(next.time), next.actor, next.action, next.target, next.request_id, next.outcome,
              next.details_json, Bytes(next.hash))
          .status());
  audited_.emplace_back(next.action, next.outcome);
  return Execute("move the head of the audit log", "UPDATE audit_heads SET sequence = $1, hash = $2 WHERE only_row",
                 next.sequence, Bytes(next.hash))
      .status();
}

void PgTransaction::TellCommitted() const {
  if (observer_ == nullptr) return;
  for (const auto& [action, outcome] : audited_) observer_->OnAudited(action, outcome);
}

}  // namespace bulkhead::controlplane
