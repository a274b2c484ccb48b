// Sensors in the database.
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// What a scan that filters reads at once.
constexpr int kChunk = 1000;
constexpr SensorParts kAllParts;
constexpr SensorParts kNoParts = {.observed = false, .host = false, .capabilities = false};

// Whether the row version `xmin` may have been written by a transaction that had not ended when all below $SINCE had.
// Row versions carry 32 bits of the transaction's 64; the distance from $SINCE, modulo 2^32, tells them apart from
// older ones. A subtransaction's number is above its transaction's, so it counts as late enough. An error is on the
// side of "changed".
std::string ChangedSql(absl::string_view xmin, int since) {
  return absl::Substitute(
      "((($0::text::bigint - $$$1::bigint) & 4294967295)"
      " <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - $$$1::bigint)",
      xmin, since);
}

// $0: the big parts. $1: whether the sensor may have changed.
constexpr char kSelect[] = R"(
SELECT s.id, s.name, s.trust, s.disabled, s.desired_generation, s.desired_digest, s.revision, s.enrolled_at,
       s.clone_suspected_at, s.clone_reason,
       ARRAY(SELECT key || '=' || value FROM jsonb_each_text(s.labels)) AS labels,
       $0, $1 AS maybe_changed, r.boot_id, r.observed_generation, r.observed_digest,
       r.degraded, r.critical, r.receipt_complete, r.failed_probe, r.refused_policy,
       r.containment_tier, r.isolation_tier, r.block_binary_tier, r.allow_list_tier, r.observed_at, r.last_heartbeat_at,
       r.failed_generation, r.failed_reason,
       EXISTS (SELECT FROM replicas h WHERE h.id = r.session_holder AND h.lease_until > now()) AS connected,
       (SELECT max(c.not_after) FROM sensor_certificates c WHERE c.sensor_id = s.id AND c.revoked_at IS NULL
          AND c.superseded_at IS NULL)
         AS certificate_not_after
FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id )";

std::string SelectSql(const SensorParts& parts, const std::string& maybe_changed) {
  const auto part = [](bool wanted, absl::string_view name) {
    return wanted ? absl::StrCat("r.", name) : absl::StrCat("''::bytea AS ", name);
  };
  return absl::Substitute(kSelect,
                          absl::StrCat(part(parts.host, "host_info"), ", ", part(parts.capabilities, "capabilities"),
                                       ", ", part(parts.observed, "observed")),
                          maybe_changed);
}

// A stream whose replica has gone says nothing more, and no row changes: whoever has no live holder may have changed.
std::string MaybeChangedSql(int since) {
  return absl::StrCat("($", since, "::bigint = 0 OR ", ChangedSql("s.xmin", since), " OR ", ChangedSql("r.xmin", since),
                      " OR (r.session_holder IS NOT NULL AND NOT EXISTS"
                      " (SELECT FROM replicas h WHERE h.id = r.session_holder AND h.lease_until > now()))"
                      " OR EXISTS (SELECT FROM sensor_certificates c WHERE c.sensor_id = s.id AND ",
                      ChangedSql("c.xmin", since), "))");
}

Tier TierFrom(const pqxx::field& field) {
  return static_cast<Tier>(field.as<int>());
}

SensorReport ReportFrom(const pqxx::row& row) {
  SensorReport report;
  report.host_info = BytesFrom(row["host_info"]);
  report.capabilities = BytesFrom(row["capabilities"]);
  report.observed = BytesFrom(row["observed"]);
  report.boot_id = row["boot_id"].c_str();
  report.observed_generation = row["observed_generation"].as<uint64_t>();
  report.observed_digest = BytesFrom(row["observed_digest"]);
  report.degraded = TextArrayFrom(row["degraded"]);
  report.critical = TextArrayFrom(row["critical"]);
  report.receipt_complete = row["receipt_complete"].as<bool>();
  report.failed_probe = row["failed_probe"].c_str();
  report.refused_policy = row["refused_policy"].c_str();
  report.containment_tier = TierFrom(row["containment_tier"]);
  report.isolation_tier = TierFrom(row["isolation_tier"]);
  report.block_binary_tier = TierFrom(row["block_binary_tier"]);
  report.allow_list_tier = TierFrom(row["allow_list_tier"]);
  return report;
}

Sensor SensorFrom(const pqxx::row& row) {
  Sensor sensor;
  sensor.id = row["id"].c_str();
  sensor.name = row["name"].c_str();
  sensor.trust = TrustFrom(row["trust"]);
  sensor.disabled = row["disabled"].as<bool>();
  sensor.desired_generation = row["desired_generation"].as<uint64_t>();
  sensor.desired_digest = BytesFrom(row["desired_digest"]);
  sensor.report = ReportFrom(row);
  sensor.observed_at = OptionalTimeFrom(row["observed_at"]);
  sensor.failed_generation = row["failed_generation"].as<uint64_t>();
  sensor.failed_reason = row["failed_reason"].c_str();
  sensor.connected = row["connected"].as<bool>();
  sensor.last_heartbeat_at = OptionalTimeFrom(row["last_heartbeat_at"]);
  sensor.enrolled_at = TimeFrom(row["enrolled_at"]);
  sensor.certificate_not_after = OptionalTimeFrom(row["certificate_not_after"]);
  sensor.etag = row["revision"].c_str();
  sensor.labels = LabelsFrom(row["labels"]);
  sensor.clone_suspected_at = OptionalTimeFrom(row["clone_suspected_at"]);
  sensor.clone_reason = row["clone_reason"].c_str();
  sensor.maybe_changed = row["maybe_changed"].as<bool>();
  return sensor;
}

}  // namespace

absl::StatusOr<Sensor> PgTransaction::GetSensor(const std::string& reference, bool lock) {
  if (!ValidateSensorReference("sensor", reference).ok()) return SensorNotFound(reference);
  if (lock) RETURN_IF_ERROR(LockRules(/*exclusive=*/false));
  // NO KEY UPDATE: a heartbeat's foreign key need not wait for the order.
  const std::string sql =
      absl::StrCat(SelectSql(kAllParts, "true"), IsUuid(reference) ? "WHERE s.id = $1::uuid" : "WHERE s.name = $1",
                   lock ? " FOR NO KEY UPDATE OF s" : "");
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("read a sensor", sql, reference));
  if (rows.empty()) return SensorNotFound(reference);
  ASSIGN_OR_RETURN(std::vector<Sensor> sensors, ReadRows("read a sensor", rows, SensorFrom));
  RETURN_IF_ERROR(AttachPolicies(&sensors));
  return std::move(sensors.front());
}

std::string SelectorSql(int first) {
  return absl::Substitute(
      "s.labels @> $$$0::jsonb AND s.labels ?& $$$1::text[] AND NOT s.labels @> ANY ($$$2::jsonb[])"
      " AND NOT s.labels ?| $$$3::text[]",
      first, first + 1, first + 2, first + 3);
}

absl::StatusOr<std::vector<Sensor>> PgTransaction::ReadSensors(const SensorQuery& query, const SensorParts& parts,
                                                               const std::string& after, int limit) {
  const LabelSelector& selector = query.selector;
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list sensors",
              absl::StrCat(SelectSql(parts, MaybeChangedSql(8)), "WHERE s.name > $1 AND s.name ^@ $2 AND ",
                           SelectorSql(4), " ORDER BY s.name LIMIT $3"),
              after, query.name_prefix, limit, JsonText(selector.equal),
              TextArray({selector.present.begin(), selector.present.end()}), JsonTextArray(selector.differ),
              TextArray({selector.absent.begin(), selector.absent.end()}), query.changed_since));
  ASSIGN_OR_RETURN(std::vector<Sensor> sensors, ReadRows("list sensors", rows, SensorFrom));
  RETURN_IF_ERROR(AttachPolicies(&sensors));
  return sensors;
}

// Reads small rows until enough of them are kept.
absl::StatusOr<std::vector<Sensor>> PgTransaction::FindSensors(const SensorQuery& query, std::string after, int limit) {
  std::vector<Sensor> found;
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(std::vector<Sensor> chunk, ReadSensors(query, kNoParts, after, kChunk));
    more = chunk.size() == kChunk;
    if (more) after = chunk.back().name;
    for (Sensor& sensor : chunk) {
      if (found.size() == static_cast<size_t>(limit)) return found;
      if (query.keep(sensor)) found.push_back(std::move(sensor));
    }
  }
  return found;
}

absl::Status PgTransaction::FillParts(const SensorParts& parts, std::vector<Sensor>* sensors) {
  if (!parts.observed && !parts.host && !parts.capabilities) return absl::OkStatus();
  std::vector<std::string> ids;
  for (const Sensor& sensor : *sensors) ids.push_back(sensor.id);
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read sensors", absl::StrCat(SelectSql(parts, "true"), "WHERE s.id = ANY($1::uuid[])"), TextArray(ids)));
  absl::flat_hash_map<std::string, SensorReport> reports;
  ASSIGN_OR_RETURN(const std::vector<Sensor> read, ReadRows("read sensors", rows, SensorFrom));
  for (const Sensor& sensor : read) reports[sensor.id] = sensor.report;
  for (Sensor& sensor : *sensors) {
    SensorReport& report = reports[sensor.id];
    sensor.report.host_info = std::move(report.host_info);
    sensor.report.capabilities = std::move(report.capabilities);
    sensor.report.observed = std::move(report.observed);
  }
  return absl::OkStatus();
}

absl::StatusOr<Page<Sensor>> PgTransaction::ListSensors(const SensorQuery& query, int page_size,
                                                        const std::string& page_token) {
  RETURN_IF_ERROR(ValidateText("name_prefix", query.name_prefix, 63));
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("sensors/", query.name_prefix, "/", query.filter_text);
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, DecodePageToken(list, 1, page_token));
  const std::string after = keys.empty() ? std::string() : keys[0];
  ASSIGN_OR_RETURN(std::vector<Sensor> sensors, query.keep ? FindSensors(query, after, limit + 1)
                                                           : ReadSensors(query, query.parts, after, limit + 1));
  Page<Sensor> page =
      MakePage(std::move(sensors), limit, list, [](const Sensor& last) { return std::vector<std::string>{last.name}; });
  if (query.keep) RETURN_IF_ERROR(FillParts(query.parts, &page.items));
  return page;
}

absl::StatusOr<ChangeMoment> PgTransaction::Moment() {
  // The cluster, and the timeline: after a failover that lost the last transactions, numbers are given out again.
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read the moment",
                           "SELECT (SELECT system_identifier FROM pg_control_system()) || '/'"
                           " || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS database,"
                           " pg_snapshot_xmin(pg_current_snapshot())::text AS transaction, now() AS time"));
  return ReadRow("read the moment", rows.front(), [](const pqxx::row& row) {
    return ChangeMoment{.database = row["database"].c_str(),
                        .transaction = row["transaction"].as<uint64_t>(),
                        .time = TimeFrom(row["time"])};
  });
}

absl::StatusOr<std::vector<DeletedSensor>> PgTransaction::DeletedSince(uint64_t transaction) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list deleted sensors",
              absl::StrCat("SELECT d.id, d.name FROM deleted_sensors d WHERE ", ChangedSql("d.xmin", 1)), transaction));
  return ReadRows("list deleted sensors", rows, [](const pqxx::row& row) {
    return DeletedSensor{.id = row["id"].c_str(), .name = row["name"].c_str()};
  });
}

absl::StatusOr<std::vector<Sensor>> PgTransaction::SensorsById(const std::vector<std::string>& sensor_ids) {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read sensors", absl::StrCat(SelectSql(kAllParts, "true"), "WHERE s.id = ANY($1::uuid[])"),
                           TextArray(sensor_ids)));
  return ReadRows("read sensors", rows, SensorFrom);
}

absl::Status PgTransaction::InsertSensor(const Sensor& sensor) {
  // DO NOTHING instead of an error, which would end the transaction with the database's words instead of ours.
  ASSIGN_OR_RETURN(const pqxx::result inserted,
                   Execute("enroll a sensor",
                           "INSERT INTO sensors (id, name, desired_generation, desired_digest, enrolled_at, labels)"
                           " VALUES ($1::uuid, $2, $3, $4, $5::timestamptz, $6::jsonb) ON CONFLICT ON CONSTRAINT "
                           "sensors_name_key DO NOTHING",
                           sensor.id, sensor.name, sensor.desired_generation, Bytes(sensor.desired_digest),
                           TimeText(sensor.enrolled_at), JsonText(sensor.labels)));
  if (inserted.affected_rows() == 0) return SensorNameTaken(sensor.name);
  RETURN_IF_ERROR(
      Execute("enroll a sensor", "INSERT INTO sensor_reports (sensor_id) VALUES ($1::uuid)", sensor.id).status());
  return Notify({sensor.id});
}

absl::Status PgTransaction::SetTrust(const std::string& sensor_id, Trust trust) {
  RETURN_IF_ERROR(
      Execute("change a sensor's trust", "UPDATE sensors SET trust = $2 WHERE id = $1::uuid", sensor_id, ToText(trust))
          .status());
  return Touch(sensor_id);
}

absl::Status PgTransaction::SetDisabled(const std::string& sensor_id, bool disabled) {
  RETURN_IF_ERROR(
      Execute("disable or enable a sensor", "UPDATE sensors SET disabled = $2 WHERE id = $1::uuid", sensor_id, disabled)
          .status());
  return Touch(sensor_id);
}

absl::Status PgTransaction::SetLabels(const std::string& sensor_id, const Labels& labels) {
  RETURN_IF_ERROR(Execute("label a sensor", "UPDATE sensors SET labels = $2::jsonb WHERE id = $1::uuid", sensor_id,
                          JsonText(labels))
                      .status());
  return Touch(sensor_id);
}

absl::Status PgTransaction::DeleteSensor(const std::string& sensor_id) {
  ASSIGN_OR_RETURN(const pqxx::result deleted,
                   Execute("delete a sensor",
                           "WITH gone AS (DELETE FROM sensors WHERE id = $1::uuid RETURNING id, name)"
                           " INSERT INTO deleted_sensors (id, name) SELECT id, name FROM gone",
                           sensor_id));
  if (deleted.affected_rows() == 0) return SensorNotFound(sensor_id);
  RETURN_IF_ERROR(
      Execute("delete a sensor's heartbeats", "DELETE FROM heartbeats WHERE sensor_id = $1::uuid", sensor_id).status());
  return Notify({sensor_id});
}

absl::Status PgTransaction::InsertCertificate(const SensorCertificate& certificate) {
  return Execute("store a certificate",
                 "INSERT INTO sensor_certificates (serial, sensor_id, fingerprint, not_before, not_after, issuer,"
                 " trust_bundle) VALUES ($1, $2::uuid, decode($3, 'hex'), $4::timestamptz, $5::timestamptz,"
                 " decode(NULLIF($6, ''), 'hex'), decode(NULLIF($7, ''), 'hex'))",
                 certificate.serial_hex, certificate.sensor_id, certificate.fingerprint_hex,
                 TimeText(certificate.not_before), TimeText(certificate.not_after), certificate.issuer_hex,
                 ToHex(certificate.trust_bundle_digest))
      .status();
}

absl::Status PgTransaction::RevokeCertificates(const std::string& sensor_id) {
  return Execute("revoke a sensor's certificates",
                 "UPDATE sensor_certificates SET revoked_at = now() WHERE sensor_id = $1::uuid AND revoked_at IS NULL",
                 sensor_id)
      .status();
}

absl::StatusOr<bool> PgTransaction::SetCloneSuspicion(const std::string& sensor_id, const std::string& reason) {
  ASSIGN_OR_RETURN(const pqxx::result marked, Execute("suspect a clone",
                                                      "UPDATE sensors SET clone_suspected_at = now(), clone_reason = $2"
                                                      " WHERE id = $1::uuid AND clone_suspected_at IS NULL",
                                                      sensor_id, reason));
  if (marked.affected_rows() == 0) return false;
  RETURN_IF_ERROR(Touch(sensor_id));
  return true;
}

absl::Status PgTransaction::ClearCloneSuspicion(const std::string& sensor_id) {
  RETURN_IF_ERROR(Execute("clear a suspicion",
                          "UPDATE sensors SET clone_suspected_at = NULL, clone_reason = '' WHERE id = $1::uuid",
                          sensor_id)
                      .status());
  RETURN_IF_ERROR(
      Execute("forget signs of a clone",
              "UPDATE sensor_reports SET instances = '{}', instance_returns = 0, instance_returned_at = NULL"
              " WHERE sensor_id = $1::uuid",
              sensor_id)
          .status());
  RETURN_IF_ERROR(
      Execute("forget signs of a clone",
              "UPDATE sensor_certificates SET superseded_shown = 0 WHERE sensor_id = $1::uuid AND superseded_shown > 0",
              sensor_id)
          .status());
  return Touch(sensor_id);
}

absl::Status PgTransaction::Touch(const std::string& sensor_id) {
  ASSIGN_OR_RETURN(const pqxx::result changed, Execute("count an order",
                                                       "UPDATE sensors SET revision = revision + 1 WHERE id = $1::uuid"
                                                       " RETURNING pg_notify($2, id::text)::text",
                                                       sensor_id, kChangeChannel));
  return changed.empty() ? SensorNotFound(sensor_id) : absl::OkStatus();
}

absl::Status PgTransaction::Notify(const std::vector<std::string>& changes) {
  return Execute("tell other replicas", "SELECT pg_notify($1, id) FROM unnest($2::text[]) AS id", kChangeChannel,
                 TextArray(changes))
      .status();
}

}  // namespace bulkhead::controlplane
