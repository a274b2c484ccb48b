// What sensors report, one by one and in batches.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// One statement: stored if the stream still owns the sensor, kept as history, and what is ordered read back, all as of
// one moment. Losing the last reports in a crash of the database is harmless, the next heartbeat brings them again; so
// they need not wait for the disk.
constexpr char kRecordReport[] = R"(
WITH stored AS (
  UPDATE sensor_reports SET
    host_info = CASE WHEN octet_length($2::bytea) = 0 THEN host_info ELSE $2 END,
    boot_id = CASE WHEN $3 = '' THEN boot_id ELSE $3 END,
    capabilities = CASE WHEN octet_length($4::bytea) = 0 THEN capabilities ELSE $4 END,
    containment_tier = CASE WHEN octet_length($4) = 0 THEN containment_tier ELSE $5 END,
    isolation_tier = CASE WHEN octet_length($4) = 0 THEN isolation_tier ELSE $6 END,
    block_binary_tier = CASE WHEN octet_length($4) = 0 THEN block_binary_tier ELSE $7 END,
    allow_list_tier = CASE WHEN octet_length($4) = 0 THEN allow_list_tier ELSE $17 END,
    observed = $8, observed_generation = $9, observed_digest = $10, degraded = $11::text[], critical = $12::text[],
    receipt_complete = $15, failed_probe = $16, refused_policy = $18, report_number = greatest(report_number, $19),
    observed_at = now(), last_heartbeat_at = CASE WHEN $13 THEN now() ELSE last_heartbeat_at END
  WHERE sensor_id = $1::uuid AND session_epoch = $14
  RETURNING sensor_id, set_config('synchronous_commit', 'off', true)
), kept AS (
  INSERT INTO heartbeats (sensor_id, observed_generation, observed_digest, degraded_count, critical_count)
  SELECT sensor_id, $9, $10, cardinality($11::text[]), cardinality($12::text[]) FROM stored WHERE $13
)
SELECT s.trust, s.desired_generation, s.desired_digest, EXISTS (SELECT FROM stored) AS owned,
       EXISTS (SELECT FROM commands c WHERE c.sensor_id = s.id AND c.finished_at IS NULL) AS open_commands
FROM sensors s WHERE s.id = $1::uuid)";

// As kRecordReport for many streams. Rows that are locked are left as they are: their next heartbeat comes soon, and
// one sensor must not make a thousand wait, or two batches each other.
constexpr char kRecordHeartbeats[] = R"(
WITH given AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[]) WITH ORDINALITY
    AS g (sensor_id, epoch, number, observed, whole, place)
), free AS (
  SELECT r.sensor_id, g.number, g.observed FROM given g JOIN sensor_reports r
    ON r.sensor_id = g.sensor_id AND r.session_epoch = g.epoch AND r.report_number < g.number
    AND r.report_number >= g.whole
  FOR NO KEY UPDATE OF r SKIP LOCKED
), stored AS (
  UPDATE sensor_reports r SET observed = f.observed, report_number = f.number, observed_at = now(),
    last_heartbeat_at = now()
  FROM free f WHERE r.sensor_id = f.sensor_id
  RETURNING r.sensor_id, r.observed_generation, r.observed_digest, cardinality(r.degraded) AS degraded_count,
    cardinality(r.critical) AS critical_count
), kept AS (
  INSERT INTO heartbeats (sensor_id, observed_generation, observed_digest, degraded_count, critical_count)
  SELECT sensor_id, observed_generation, observed_digest, degraded_count, critical_count FROM stored
)
SELECT g.place, g.sensor_id, s.trust, s.desired_generation, s.desired_digest, r.session_epoch = g.epoch AS owned,
       r.report_number >= g.whole AS has_whole,
       EXISTS (SELECT FROM commands c WHERE c.sensor_id = s.id AND c.finished_at IS NULL) AS open_commands,
       set_config('synchronous_commit', 'off', true)
FROM given g LEFT JOIN sensors s ON s.id = g.sensor_id LEFT JOIN sensor_reports r ON r.sensor_id = s.id)";

}  // namespace

absl::StatusOr<OrderedState> PgStore::RecordReport(const Ownership& owner, const SensorReport& report, bool heartbeat) {
  if (!IsUuid(owner.sensor_id)) return SensorNotFound(owner.sensor_id);
  OrderedState ordered;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("store a report", kRecordReport, owner.sensor_id, Bytes(report.host_info),
                   WithoutNul(report.boot_id), Bytes(report.capabilities), static_cast<int>(report.containment_tier),
                   static_cast<int>(report.isolation_tier), static_cast<int>(report.block_binary_tier),
                   Bytes(report.observed), report.observed_generation, Bytes(report.observed_digest),
                   TextArray(report.degraded), TextArray(report.critical), heartbeat, owner.epoch,
                   report.receipt_complete, WithoutNul(report.failed_probe), static_cast<int>(report.allow_list_tier),
                   WithoutNul(report.refused_policy), report.number));
    if (rows.empty()) return SensorNotFound(owner.sensor_id);
    if (!rows.front()["owned"].as<bool>()) return StreamSuperseded();
    ASSIGN_OR_RETURN(ordered, ReadRow("store a report", rows.front(), OrderedStateFrom));
    return absl::OkStatus();
  }));
  return ordered;
}

absl::StatusOr<std::vector<absl::StatusOr<OrderedState>>> PgStore::RecordHeartbeats(
    const std::vector<PlainHeartbeat>& heartbeats) {
  std::vector<std::string> ids;
  std::vector<int64_t> epochs;
  std::vector<uint64_t> numbers;
  std::vector<std::string> observed;
  std::vector<uint64_t> wholes;
  for (const PlainHeartbeat& heartbeat : heartbeats) {
    if (!IsUuid(heartbeat.owner.sensor_id)) return SensorNotFound(heartbeat.owner.sensor_id);
    ids.push_back(heartbeat.owner.sensor_id);
    epochs.push_back(heartbeat.owner.epoch);
    numbers.push_back(heartbeat.number);
    observed.push_back(heartbeat.observed);
    wholes.push_back(heartbeat.whole);
  }
  std::vector<absl::StatusOr<OrderedState>> answers;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    answers.assign(heartbeats.size(), absl::InternalError("the database did not answer for this heartbeat"));
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("store heartbeats", kRecordHeartbeats, TextArray(ids), NumberArray(epochs),
                                NumberArray(numbers), BytesArray(observed), NumberArray(wholes)));
    for (const pqxx::row& row : rows) {
      absl::StatusOr<OrderedState>& answer = answers.at(row["place"].as<size_t>() - 1);
      if (row["trust"].is_null()) {
        answer = SensorNotFound(row["sensor_id"].c_str());
      } else if (!row["owned"].as<bool>()) {
        answer = StreamSuperseded();
      } else if (!row["has_whole"].as<bool>()) {
        answer = ReportMissing();
      } else {
        answer = ReadRow("store heartbeats", row, OrderedStateFrom);
      }
    }
    return absl::OkStatus();
  }));
  return answers;
}

absl::Status PgStore::RecordPolicyStatus(const Ownership& owner, uint64_t generation, bool applied,
                                         const std::string& message) {
  // An old answer that arrives late must not hide a newer one.
  return RunPg([&](PgTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.CheckOwnership(owner, /*hold=*/true).status());
    if (applied) {
      return tx
          .Execute("store a policy status",
                   "UPDATE sensor_reports SET failed_generation = 0, failed_reason = ''"
                   " WHERE sensor_id = $1::uuid AND failed_generation BETWEEN 1 AND $2",
                   owner.sensor_id, generation)
          .status();
    }
    return tx
        .Execute("store a policy status",
                 "UPDATE sensor_reports SET failed_generation = $2, failed_reason = $3"
                 " WHERE sensor_id = $1::uuid AND failed_generation <= $2 AND $2 > 0",
                 owner.sensor_id, generation, WithoutNul(message))
        .status();
  });
}

absl::StatusOr<int64_t> PgStore::Sweep() {
  int64_t deleted = 0;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result answers,
        tx.Execute("delete old answers", "DELETE FROM order_requests WHERE created_at < now() - interval '24 hours'"));
    RETURN_IF_ERROR(tx.ExpireCommands("", "").status());
    // A little longer than a watch may be resumed.
    RETURN_IF_ERROR(
        tx.Execute("forget deleted sensors", "DELETE FROM deleted_sensors WHERE deleted_at < now() - interval '8 days'")
            .status());
    deleted = static_cast<int64_t>(answers.affected_rows());
    return absl::OkStatus();
  }));
  return deleted;
}

}  // namespace bulkhead::controlplane
