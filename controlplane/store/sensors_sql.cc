// Sensors in the database.
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelect[] = R"(
SELECT s.id, s.name, s.trust, s.disabled, s.desired_generation, s.desired_digest, s.revision, s.enrolled_at,
       ARRAY(SELECT key || '=' || value FROM jsonb_each_text(s.labels)) AS labels,
       r.host_info, r.capabilities, r.observed, r.boot_id, r.observed_generation, r.observed_digest,
       r.degraded, r.critical, r.receipt_complete, r.failed_probe, r.refused_policy,
       r.containment_tier, r.isolation_tier, r.block_binary_tier, r.allow_list_tier, r.observed_at, r.last_heartbeat_at,
       r.failed_generation, r.failed_reason,
       EXISTS (SELECT FROM replicas h WHERE h.id = r.session_holder AND h.lease_until > now()) AS connected,
       (SELECT max(c.not_after) FROM sensor_certificates c WHERE c.sensor_id = s.id AND c.revoked_at IS NULL)
         AS certificate_not_after
FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id )";

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
  return sensor;
}

}  // namespace

absl::StatusOr<Sensor> PgTransaction::GetSensor(const std::string& reference, bool lock) {
  if (!ValidateSensorReference("sensor", reference).ok()) return SensorNotFound(reference);
  if (lock) RETURN_IF_ERROR(LockRules(/*exclusive=*/false));
  // NO KEY UPDATE: a heartbeat's foreign key need not wait for the order.
  const std::string sql = absl::StrCat(kSelect, IsUuid(reference) ? "WHERE s.id = $1::uuid" : "WHERE s.name = $1",
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

absl::StatusOr<Page<Sensor>> PgTransaction::ListSensors(const std::string& name_prefix, const LabelSelector& selector,
                                                        const std::string& selector_text, int page_size,
                                                        const std::string& page_token) {
  RETURN_IF_ERROR(ValidateText("name_prefix", name_prefix, 63));
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("sensors/", name_prefix, "/", selector_text);
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 1, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute(
          "list sensors",
          absl::StrCat(kSelect, "WHERE s.name > $1 AND s.name ^@ $2 AND ", SelectorSql(4), " ORDER BY s.name LIMIT $3"),
          after.empty() ? std::string() : after[0], name_prefix, limit + 1, JsonText(selector.equal),
          TextArray({selector.present.begin(), selector.present.end()}), JsonTextArray(selector.differ),
          TextArray({selector.absent.begin(), selector.absent.end()})));
  ASSIGN_OR_RETURN(std::vector<Sensor> sensors, ReadRows("list sensors", rows, SensorFrom));
  Page<Sensor> page =
      MakePage(std::move(sensors), limit, list, [](const Sensor& last) { return std::vector<std::string>{last.name}; });
  RETURN_IF_ERROR(AttachPolicies(&page.items));
  return page;
}

absl::StatusOr<std::vector<Sensor>> PgTransaction::SensorsById(const std::vector<std::string>& sensor_ids) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read sensors", absl::StrCat(kSelect, "WHERE s.id = ANY($1::uuid[])"), TextArray(sensor_ids)));
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
                   Execute("delete a sensor", "DELETE FROM sensors WHERE id = $1::uuid", sensor_id));
  if (deleted.affected_rows() == 0) return SensorNotFound(sensor_id);
  RETURN_IF_ERROR(
      Execute("delete a sensor's heartbeats", "DELETE FROM heartbeats WHERE sensor_id = $1::uuid", sensor_id).status());
  return Notify({sensor_id});
}

absl::Status PgTransaction::InsertCertificate(const SensorCertificate& certificate) {
  return Execute("store a certificate",
                 "INSERT INTO sensor_certificates (serial, sensor_id, fingerprint, not_before, not_after)"
                 " VALUES ($1, $2::uuid, decode($3, 'hex'), $4::timestamptz, $5::timestamptz)",
                 certificate.serial_hex, certificate.sensor_id, certificate.fingerprint_hex,
                 TimeText(certificate.not_before), TimeText(certificate.not_after))
      .status();
}

absl::Status PgTransaction::RevokeCertificates(const std::string& sensor_id) {
  return Execute("revoke a sensor's certificates",
                 "UPDATE sensor_certificates SET revoked_at = now() WHERE sensor_id = $1::uuid AND revoked_at IS NULL",
                 sensor_id)
      .status();
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
