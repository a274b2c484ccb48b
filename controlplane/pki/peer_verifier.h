// Says who a peer is by its certificate.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/pki/pki.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {

inline constexpr char kSensorUri[] = "spiffe://bulkhead/sensor/";
inline constexpr char kOperatorUri[] = "spiffe://bulkhead/operator/";

// See CertificateAuthority::VerifyPeer. `roots` holds our CA. Thread safe.
absl::StatusOr<PeerIdentity> VerifyPeerCertificate(X509_STORE* roots, const std::string& leaf_pem, absl::Time now);

}  // namespace bulkhead::controlplane
