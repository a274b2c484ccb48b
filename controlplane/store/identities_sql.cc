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
  certificate.revoked = row["revoked"].as<bool>();
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
                   " revoked_at IS NOT NULL AS revoked FROM sensor_certificates WHERE serial = $1",
                   WithoutNul(serial_hex)));
    if (rows.empty())
      return absl::NotFoundError("no certificate with this serial number was issued to a sensor that exists");
    ASSIGN_OR_RETURN(certificate, ReadRow("find a certificate", rows.front(), CertificateFrom));
    return absl::OkStatus();
  }));
  return certificate;
}

absl::StatusOr<Operator> PgStore::FindOperator(const std::string& fingerprint_hex) {
  Operator op;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("find an operator",
                                "SELECT o.name, o.role, o.disabled FROM operators o JOIN operator_certificates c"
                                " ON c.operator_name = o.name WHERE c.fingerprint = decode($1, 'hex')",
                                WithoutNul(fingerprint_hex)));
    if (rows.empty()) return absl::NotFoundError("no operator has this certificate");
    op.name = rows.front()[0].c_str();
    op.role = rows.front()[1].c_str();
    op.disabled = rows.front()[2].as<bool>();
    return absl::OkStatus();
  }));
  return op;
}

absl::Status PgStore::InsertOperator(const Operator& op, const std::string& fingerprint_hex) {
  RETURN_IF_ERROR(ValidateOperatorName("name", op.name));
  if (!IsRole(op.role)) return InvalidField("role", "must be viewer, operator or admin");
  return RunPg([&](PgTransaction& tx) -> absl::Status {
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
                 "INSERT INTO operator_certificates (fingerprint, operator_name) VALUES (decode($1, 'hex'), $2)",
                 fingerprint_hex, op.name)
        .status();
  });
}

}  // namespace bulkhead::controlplane
