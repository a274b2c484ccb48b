// Who may call what: the one place where a caller is authenticated and authorized.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controlplane/pki/pki.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// Kind of caller that an RPC is for.
enum class Access {
  kOperator,  // an operator whose role has the permission that domain/roles.h gives for the RPC
  kSensor,    // a sensor, for itself
  kAnyone,    // no certificate: the request carries its own proof
};

// A caller that was admitted.
struct Caller {
  std::string name;  // operator's name, or sensor's id; empty: anyone
  std::string role;  // operator's role
  PeerIdentity identity;
  // Of a sensor: TrustBundleDigest of the roots that it was sent with its certificate.
  std::string trust_bundle_digest = {};
  std::string address = {};     // numeric, without port; a load balancer's when there is one in between
  std::string request_id = {};  // of this call
};

// Thread safe. Asks the database each time, so a revocation works from the next call on. The first call with a renewed
// certificate of a sensor ends those before it.
class Gate {
 public:
  // None is owned; all outlive the gate.
  Gate(Store* store, const CertificateAuthority* authority, const Clock* clock)
      : store_(store), authority_(authority), clock_(clock) {}

  // `leaf_pem` is what the peer presented, empty for nothing; `path` names the RPC. Blocks.
  // Unauthenticated: CERTIFICATE_REQUIRED, CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_SUPERSEDED,
  // SENSOR_REVOKED, SENSOR_DELETED, OPERATOR_UNKNOWN, OPERATOR_DISABLED. PermissionDenied: role, or a sensor where an
  // operator is wanted or the reverse. Unavailable: database.
  absl::StatusOr<Caller> Admit(const std::string& leaf_pem, Access access, const std::string& path) const;

 private:
  absl::StatusOr<Caller> AdmitSensor(const PeerIdentity& identity) const;
  absl::StatusOr<Caller> AdmitOperator(const PeerIdentity& identity, const std::string& path) const;

  Store* const store_;
  const CertificateAuthority* const authority_;
  const Clock* const clock_;
};

}  // namespace bulkhead::controlplane
