// Who a certificate belongs to: sensors and operators.
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

SensorCertificate CertificateFrom(const pqxx::row& row) {
  SensorCertificate certificate;
  certificate.serial_hex = row["serial"].c_str();
  certificate.sensor_id = row["sensor_id"].c_str();
  certificate.fingerprint_hex = row["fingerprint"].c_str();
  certificate.not_before = TimeFrom(row["not_before"]);
  certificate.not_after = TimeFrom(row["not_after"]);
  certificate.issuer_hex = row["issuer"].c_str();
  certificate.trust_bundle_digest = BytesFrom(row["trust_bundle"]);
  certificate.revoked = row["revoked"].as<bool>();
  certificate.used = row["used"].as<bool>();
  certificate.superseded = row["superseded"].as<bool>();
  return certificate;
}

}  // namespace

absl::StatusOr<SensorCertificate> PgStore::FindCertificate(const std::string& serial_hex) {
  SensorCertificate certificate;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("find a certificate",
                   "SELECT serial, sensor_id, encode(fingerprint, 'hex') AS fingerprint, not_before, not_after,"
                   " coalesce(encode(issuer, 'hex'), '') AS issuer, coalesce(trust_bundle, '') AS trust_bundle,"
                   " revoked_at IS NOT NULL AS revoked, first_used_at IS NOT NULL AS used,"
                   " superseded_at IS NOT NULL AS superseded FROM sensor_certificates WHERE serial = $1",
                   WithoutNul(serial_hex)));
    if (rows.empty())
      return absl::NotFoundError("no certificate with this serial number was issued to a sensor that exists");
    ASSIGN_OR_RETURN(certificate, ReadRow("find a certificate", rows.front(), CertificateFrom));
    return absl::OkStatus();
  }));
  return certificate;
}

absl::Status PgStore::ActivateCertificate(const std::string& serial_hex) {
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("use a certificate for the first time",
                 "WITH used AS (UPDATE sensor_certificates SET first_used_at = now(),"
                 " stored_at = coalesce(stored_at, now()) WHERE serial = $1 AND first_used_at IS NULL"
                 " RETURNING sensor_id, number)"
                 " UPDATE sensor_certificates c SET superseded_at = now() FROM used u"
                 " WHERE c.sensor_id = u.sensor_id AND c.number < u.number AND c.superseded_at IS NULL",
                 WithoutNul(serial_hex))
        .status();
  });
}

absl::Status PgStore::ConfirmCertificate(const std::string& sensor_id, const std::string& serial_hex) {
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("confirm a certificate",
                 "UPDATE sensor_certificates SET stored_at = now()"
                 " WHERE serial = $1 AND sensor_id = $2::uuid AND stored_at IS NULL",
                 WithoutNul(serial_hex), sensor_id)
        .status();
  });
}

absl::Status PgStore::CountSupersededUse(const std::string& serial_hex) {
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("count the use of a superseded certificate",
                 "UPDATE sensor_certificates SET superseded_shown = superseded_shown + 1"
                 " WHERE serial = $1 AND superseded_shown < 1000",
                 WithoutNul(serial_hex))
        .status();
  });
}

absl::StatusOr<std::vector<CloneSign>> PgStore::GetCloneSigns(int returns, int shown) {
  std::vector<CloneSign> signs;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("look for clones",
                                "SELECT s.id, max(f.returns), max(f.shown) FROM sensors s JOIN ("
                                "SELECT sensor_id, instance_returns AS returns, 0 AS shown FROM sensor_reports"
                                " WHERE instance_returns > 1 AND instance_returns >= $1 UNION ALL "
                                "SELECT sensor_id, 0, superseded_shown FROM sensor_certificates"
                                " WHERE superseded_shown > 1 AND superseded_shown >= $2) f ON f.sensor_id = s.id"
                                " WHERE s.clone_suspected_at IS NULL AND s.trust = 'trusted' GROUP BY s.id LIMIT 100",
                                returns, shown));
    ASSIGN_OR_RETURN(signs, ReadRows("look for clones", rows, [](const pqxx::row& row) {
                       return CloneSign{.sensor_id = row[0].c_str(),
                                        .instance_returns = row[1].as<int>(),
                                        .superseded_shown = row[2].as<int>()};
                     }));
    return absl::OkStatus();
  }));
  return signs;
}

absl::StatusOr<Operator> PgStore::FindOperator(const std::string& fingerprint_hex) {
  Operator op;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("find an operator",
                                "SELECT o.name, o.role, o.disabled, coalesce(r.permissions, '{}') FROM operators o"
                                " JOIN operator_certificates c ON c.operator_name = o.name"
                                " LEFT JOIN roles r ON r.name = o.role WHERE c.fingerprint = decode($1, 'hex')",
                                WithoutNul(fingerprint_hex)));
    if (rows.empty()) return absl::NotFoundError("no operator has this certificate");
    op.name = rows.front()[0].c_str();
    op.role = rows.front()[1].c_str();
    op.disabled = rows.front()[2].as<bool>();
    ASSIGN_OR_RETURN(op.permissions, ReadRow("find an operator", rows.front(),
                                             [](const pqxx::row& row) { return TextArrayFrom(row[3]); }));
    return absl::OkStatus();
  }));
  return op;
}

absl::Status PgStore::InsertOperator(const Operator& op, const std::string& fingerprint_hex,
                                     const std::string& issuer_hex) {
  RETURN_IF_ERROR(ValidateOperatorName("name", op.name));
  return RunPg([&](PgTransaction& tx) -> absl::Status {
    if (!IsBuiltInRole(op.role) && absl::IsNotFound(tx.GetRole(op.role, /*hold=*/true).status())) {
      return InvalidField("role", "must be viewer, operator, admin or a role that was made (bulkheadctl role list)");
    }
    RETURN_IF_ERROR(tx.Execute("store an operator",
                               "INSERT INTO operators (name, role, disabled) VALUES ($1, $2, $3)"
                               " ON CONFLICT ON CONSTRAINT operators_pkey DO NOTHING",
                               op.name, op.role, op.disabled)
                        .status());
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("read an operator", "SELECT role FROM operators WHERE name = $1", op.name));
    if (rows.empty() || op.role != rows.front()[0].c_str()) {
      return OperatorRoleDiffers(op.name, rows.empty() ? "unknown" : rows.front()[0].c_str());
    }
    return tx
        .Execute("store an operator's certificate",
                 "INSERT INTO operator_certificates (fingerprint, operator_name, issuer)"
                 " VALUES (decode($1, 'hex'), $2, decode(NULLIF($3, ''), 'hex'))",
                 fingerprint_hex, op.name, issuer_hex)
        .status();
  });
}

}  // namespace bulkhead::controlplane
