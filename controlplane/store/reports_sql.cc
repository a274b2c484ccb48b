// What sensors report, and who holds their streams.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// Losing the last reports in a crash of the database is harmless, the next heartbeat brings them again; so they need
// not wait for the disk.
constexpr char kUpdateReport[] = R"(
UPDATE sensor_reports SET
  host_info = CASE WHEN octet_length($2::bytea) = 0 THEN host_info ELSE $2 END,
  boot_id = CASE WHEN $3 = '' THEN boot_id ELSE $3 END,
  capabilities = CASE WHEN octet_length($4::bytea) = 0 THEN capabilities ELSE $4 END,
  containment_tier = CASE WHEN octet_length($4) = 0 THEN containment_tier ELSE $5 END,
  isolation_tier = CASE WHEN octet_length($4) = 0 THEN isolation_tier ELSE $6 END,
  block_binary_tier = CASE WHEN octet_length($4) = 0 THEN block_binary_tier ELSE $7 END,
  observed = $8, observed_generation = $9, observed_digest = $10, degraded = $11::text[], critical = $12::text[],
  observed_at = now(), last_heartbeat_at = CASE WHEN $13 THEN now() ELSE last_heartbeat_at END
WHERE sensor_id = $1::uuid RETURNING set_config('synchronous_commit', 'off', true))";

constexpr char kInsertHeartbeat[] =
    "INSERT INTO heartbeats (sensor_id, observed_generation, observed_digest, degraded_count, critical_count)"
    " VALUES ($1::uuid, $2, $3, $4, $5)";

// A control plane that died cannot close its sessions. No heartbeat interval is longer than an hour.
constexpr char kCloseDeadSessions[] =
    "UPDATE sensor_reports SET connected = false WHERE connected AND greatest(observed_at, last_heartbeat_at) < now() "
    "- interval '3 hours'";

}  // namespace

absl::Status PgStore::RecordReport(const std::string& sensor_id, const SensorReport& report, bool heartbeat) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  return RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result stored,
        tx.Execute("store a report", kUpdateReport, sensor_id, Bytes(report.host_info), WithoutNul(report.boot_id),
                   Bytes(report.capabilities), static_cast<int>(report.containment_tier),
                   static_cast<int>(report.isolation_tier), static_cast<int>(report.block_binary_tier),
                   Bytes(report.observed), report.observed_generation, Bytes(report.observed_digest),
                   TextArray(report.degraded), TextArray(report.critical), heartbeat));
    if (stored.empty()) return SensorNotFound(sensor_id);
    if (!heartbeat) return absl::OkStatus();
    return tx
        .Execute("store a heartbeat", kInsertHeartbeat, sensor_id, report.observed_generation,
                 Bytes(report.observed_digest), report.degraded.size(), report.critical.size())
        .status();
  });
}

absl::Status PgStore::RecordPolicyStatus(const std::string& sensor_id, uint64_t generation, bool applied,
                                         const std::string& message) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  // An old answer that arrives late must not hide a newer one.
  return RunPg([&](PgTransaction& tx) {
    if (applied) {
      return tx
          .Execute("store a policy status",
                   "UPDATE sensor_reports SET failed_generation = 0, failed_reason = ''"
                   " WHERE sensor_id = $1::uuid AND failed_generation BETWEEN 1 AND $2",
                   sensor_id, generation)
          .status();
    }
    return tx
        .Execute("store a policy status",
                 "UPDATE sensor_reports SET failed_generation = $2, failed_reason = $3"
                 " WHERE sensor_id = $1::uuid AND failed_generation <= $2 AND $2 > 0",
                 sensor_id, generation, WithoutNul(message))
        .status();
  });
}

absl::StatusOr<int64_t> PgStore::OpenSession(const std::string& sensor_id, const std::string& replica_id) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  int64_t epoch = 0;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("open a session",
                   "UPDATE sensor_reports SET session_epoch = session_epoch + 1, session_replica = $2, connected = true"
                   " WHERE sensor_id = $1::uuid RETURNING session_epoch",
                   sensor_id, replica_id));
    if (rows.empty()) return SensorNotFound(sensor_id);
    epoch = rows.front()[0].as<int64_t>();
    return absl::OkStatus();
  }));
  return epoch;
}

absl::Status PgStore::CloseSession(const std::string& sensor_id, int64_t epoch) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("close a session",
                 "UPDATE sensor_reports SET connected = false WHERE sensor_id = $1::uuid AND session_epoch = $2",
                 sensor_id, epoch)
        .status();
  });
}

absl::StatusOr<int64_t> PgStore::Sweep(absl::Duration keep) {
  int64_t deleted = 0;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result heartbeats,
        tx.Execute("delete old heartbeats",
                   "DELETE FROM heartbeats WHERE received_at < now() - make_interval(secs => $1::double precision)",
                   absl::ToDoubleSeconds(keep)));
    ASSIGN_OR_RETURN(
        const pqxx::result answers,
        tx.Execute("delete old answers", "DELETE FROM order_requests WHERE created_at < now() - interval '24 hours'"));
    RETURN_IF_ERROR(tx.ExpireCommands("", "").status());
    deleted = static_cast<int64_t>(heartbeats.affected_rows() + answers.affected_rows());
    return tx.Execute("close dead sessions", kCloseDeadSessions).status();
  }));
  return deleted;
}

}  // namespace bulkhead::controlplane
