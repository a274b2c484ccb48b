// The roots of the certificate authority, and how far everybody is with a rotation.
#include "common/status_macros.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// Owners of certificates are told to trust a retired root for so long: the replicas' own certificates may be of it
// until each has looked and gRPC has read the new files.
constexpr char kListRoots[] = R"(
SELECT encode(fingerprint, 'hex') AS fingerprint, certificate, cross_certificate, retired_at IS NOT NULL AS retired,
       coalesce(retired_at > now() - interval '2 minutes', true) AS sent
FROM ca_roots ORDER BY number)";

constexpr char kSensorsWithout[] = R"(
SELECT s.name FROM sensors s WHERE s.trust = 'trusted' AND NOT EXISTS (
  SELECT FROM sensor_certificates c WHERE c.sensor_id = s.id AND c.issuer = decode($1, 'hex')
    AND c.stored_at IS NOT NULL AND c.revoked_at IS NULL)
ORDER BY s.name)";

constexpr char kOperatorsWithout[] = R"(
SELECT o.name FROM operators o WHERE NOT o.disabled AND NOT EXISTS (
  SELECT FROM operator_certificates c WHERE c.operator_name = o.name AND c.issuer = decode($1, 'hex'))
ORDER BY o.name)";

PublicRoot RootFrom(const pqxx::row& row) {
  return {.fingerprint_hex = row["fingerprint"].c_str(),
          .certificate_pem = row["certificate"].c_str(),
          .cross_pem = row["cross_certificate"].c_str(),
          .retired = row["retired"].as<bool>(),
          .sent = row["sent"].as<bool>()};
}

std::string NameFrom(const pqxx::row& row) {
  return row["name"].c_str();
}

}  // namespace

absl::StatusOr<std::vector<PublicRoot>> PgTransaction::ListRoots(bool lock) {
  if (lock) {
    RETURN_IF_ERROR(Execute("lock the roots", "LOCK TABLE ca_roots IN SHARE ROW EXCLUSIVE MODE").status());
  }
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("list the roots", kListRoots));
  return ReadRows("list the roots", rows, RootFrom);
}

absl::Status PgTransaction::InsertRoot(const PublicRoot& root) {
  return Execute("add a root",
                 "INSERT INTO ca_roots (fingerprint, certificate, cross_certificate)"
                 " VALUES (decode($1, 'hex'), $2, $3)",
                 root.fingerprint_hex, root.certificate_pem, root.cross_pem)
      .status();
}

absl::Status PgTransaction::RetireRoot(const std::string& fingerprint_hex) {
  return Execute("retire a root",
                 "UPDATE ca_roots SET retired_at = now() WHERE fingerprint = decode($1, 'hex') AND retired_at IS NULL",
                 fingerprint_hex)
      .status();
}

absl::StatusOr<RotationProgress> PgTransaction::GetRotationProgress(const std::string& fingerprint_hex) {
  RotationProgress progress;
  ASSIGN_OR_RETURN(pqxx::result rows, Execute("find who has not moved", kSensorsWithout, fingerprint_hex));
  ASSIGN_OR_RETURN(progress.sensors, ReadRows("find who has not moved", rows, NameFrom));
  ASSIGN_OR_RETURN(rows, Execute("find who has not moved", kOperatorsWithout, fingerprint_hex));
  ASSIGN_OR_RETURN(progress.operators, ReadRows("find who has not moved", rows, NameFrom));
  ASSIGN_OR_RETURN(rows, Execute("list the replicas",
                                 "SELECT name, coalesce(encode(issuer, 'hex'), '') AS issuer FROM replicas"
                                 " WHERE lease_until > now() ORDER BY name"));
  ASSIGN_OR_RETURN(progress.replicas, ReadRows("list the replicas", rows, [](const pqxx::row& row) {
                     return ReplicaStanding{.name = row["name"].c_str(), .issuer_hex = row["issuer"].c_str()};
                   }));
  return progress;
}

absl::StatusOr<bool> PgStore::ReportAuthority(const std::string& run_id, const std::string& trust_bundle_digest,
                                              const std::string& issuer_hex) {
  bool all = false;
  // Committed without waiting for standbys, as the lease in the same row: what a failover loses is told again.
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Execute("tell what a replica verifies by",
                               "UPDATE replicas SET trust_bundle = $2, issuer = decode($3, 'hex')"
                               " WHERE id = $1::uuid AND (trust_bundle, issuer) IS DISTINCT FROM"
                               " ($2::bytea, decode($3, 'hex'))"
                               " RETURNING set_config('synchronous_commit', 'local', true)",
                               run_id, Bytes(trust_bundle_digest), issuer_hex)
                        .status());
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("compare the replicas",
                                "SELECT NOT EXISTS (SELECT FROM replicas WHERE lease_until > now()"
                                " AND trust_bundle IS DISTINCT FROM $1::bytea)",
                                Bytes(trust_bundle_digest)));
    all = rows.front()[0].as<bool>();
    return absl::OkStatus();
  }));
  return all;
}

}  // namespace bulkhead::controlplane
