// Bulkhead's own certificate authority, and checks of what peers present. The only layer that includes OpenSSL's X.509.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

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
};

// A certificate that was just issued.
struct IssuedCertificate {
  std::string chain_pem;  // leaf first
  std::string serial_hex;
  std::string fingerprint_hex;
  absl::Time not_before;
  absl::Time not_after;
};

// A key and its certificate, as files hold them.
struct KeyAndCertificate {
  std::string key_pem;
  IssuedCertificate certificate;
};

// One CA: an ECDSA P-256 key and its certificate in a directory (ca-key.pem mode 0600, ca.pem). Thread safe after Open.
class CertificateAuthority {
 public:
  // Makes a CA in an empty directory. AlreadyExists when there is one.
  static absl::Status Create(const std::string& directory, absl::Time now);
  static absl::StatusOr<std::unique_ptr<CertificateAuthority>> Open(const std::string& directory);
  virtual ~CertificateAuthority() = default;

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

  // Every root that peers must trust, PEM.
  virtual const std::string& trust_bundle_pem() const = 0;
};

// When the first certificate of a PEM bundle runs out; InvalidArgument when it holds none.
absl::StatusOr<absl::Time> FirstExpiry(const std::string& bundle_pem);

}  // namespace bulkhead::controlplane
