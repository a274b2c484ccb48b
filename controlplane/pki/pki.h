// Bulkhead's own certificate authority, and checks of what peers present. The only layer that includes OpenSSL's X.509.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// What a certificate of ours says about its owner, from its URI SAN:
// spiffe://bulkhead/sensor/<uuid> or spiffe://bulkhead/operator/<name>.
struct PeerIdentity {
  enum class Kind { kSensor, kOperator };
  Kind kind = Kind::kSensor;
  std::string id;  // sensor's UUID or operator's name
  std::string serial_hex;
  std::string fingerprint_hex;  // SHA-256 of the DER
  absl::Time not_after;
  std::string issuer_hex;  // fingerprint of the root that it leads to
};

// A certificate that was just issued.
struct IssuedCertificate {
  std::string chain_pem;  // leaf first
  std::string serial_hex;
  std::string fingerprint_hex;
  absl::Time not_before;
  absl::Time not_after;
  std::string issuer_hex;           // fingerprint of the root that issued it
  std::string trust_bundle_pem;     // to send with it: every root that its owner must trust
  std::string trust_bundle_digest;  // TrustBundleDigest of these

  // What is recorded when it is issued to a sensor.
  SensorCertificate RecordFor(const std::string& sensor_id) const;
};

// 32 bytes that stand for a set of roots in this order: what says whether somebody was told about all of them.
std::string TrustBundleDigest(const std::vector<std::string>& fingerprints_hex);

// A key and its certificate, as files hold them.
struct KeyAndCertificate {
  std::string key_pem;
  IssuedCertificate certificate;
};

// OK when the key belongs to the leaf of the chain, which is within its time. Otherwise says what is wrong.
absl::Status CheckKeyAndCertificate(const std::string& key_pem, const std::string& chain_pem, absl::Time now);

// The CA: ECDSA P-256 keys and their certificates in a directory (see ca_directory.h), one of which issues. Thread safe
// after Open.
//
// A rotation goes: Open (one root) → MakeSuccessor at one replica → Follow with both at all of them: certificates of
// both are accepted, clients get certificates of the new one, servers keep those of the old one, because clients that
// were away know no other → Follow with the old one retired: its certificates are refused, servers change too.
class CertificateAuthority {
 public:
  // Makes a CA in an empty directory. AlreadyExists when there is one.
  static absl::Status Create(const std::string& directory, absl::Time now);
  static absl::StatusOr<std::unique_ptr<CertificateAuthority>> Open(const std::string& directory);
  virtual ~CertificateAuthority() = default;

  // Makes a root that is to follow the current one, with its key, on disk; nothing uses it before Follow names it.
  virtual absl::StatusOr<PublicRoot> MakeSuccessor(absl::Time now) = 0;
  // The current root: what issues to clients.
  virtual PublicRoot current_root() const = 0;

  // Takes over what the fleet agreed on: all roots, oldest first; none: the one that is on disk. Certificates for
  // clients come from the newest whose key is on disk (older ones while `newest_may_issue` is not set), those for
  // servers from the oldest that is not retired. FailedPrecondition, and nothing changes: a root that neither is on
  // disk nor follows one that is, or no key on disk is of a root that is not retired.
  virtual absl::Status Follow(const std::vector<PublicRoot>& roots, bool newest_may_issue) = 0;

  // Takes only the key of a PKCS#10 request in DER (P-256 only; its signature is checked). InvalidArgument says what is
  // wrong.
  virtual absl::StatusOr<IssuedCertificate> SignSensorRequest(const std::string& csr_der, const std::string& sensor_id,
                                                              absl::Time now, absl::Duration life) = 0;
  virtual absl::StatusOr<KeyAndCertificate> IssueOperator(const std::string& name, absl::Time now,
                                                          absl::Duration life) = 0;
  // For the control plane's own listener; names are DNS names or IP addresses.
  virtual absl::StatusOr<KeyAndCertificate> IssueServer(const std::vector<std::string>& names, absl::Time now,
                                                        absl::Duration life) = 0;

  // Checks a peer's leaf certificate: signed by us, within its time, for client use, with one URI SAN of ours.
  // Unauthenticated, with a payload of type "bulkhead/reason" that is CERTIFICATE_INVALID or CERTIFICATE_EXPIRED.
  virtual absl::StatusOr<PeerIdentity> VerifyPeer(const std::string& leaf_pem, absl::Time now) const = 0;

  // Every root that peers must trust, PEM; its digest; the fingerprint of the root that issues to clients, and of the
  // one that issues to servers.
  struct Standing {
    std::string trust_bundle_pem;
    std::string trust_bundle_digest;
    std::string issuer_hex;
    std::string server_issuer_hex;
  };
  // As of now; does not change. Cheap: asked with every heartbeat.
  virtual std::shared_ptr<const Standing> standing() const = 0;
  std::string trust_bundle_pem() const { return standing()->trust_bundle_pem; }
};

// When the first certificate of a PEM bundle runs out; InvalidArgument when it holds none.
absl::StatusOr<absl::Time> FirstExpiry(const std::string& bundle_pem);

}  // namespace bulkhead::controlplane
