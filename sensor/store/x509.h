// Keys, certificate requests and certificates of a sensor. The only file of the sensor that includes OpenSSL's X.509.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bulkhead::sensor {

// A fresh key and the request for its certificate.
struct KeyAndRequest {
  std::string key_pem;  // PKCS#8, ECDSA P-256
  std::string csr_der;  // PKCS#10
};

// What a sensor's own certificate says.
struct CertificateFacts {
  std::string sensor_id;  // UUID, from the URI SAN spiffe://bulkhead/sensor/<uuid>
  absl::Time not_before;
  absl::Time not_after;
  std::string serial_hex;  // lower-case, two digits a byte
};

// Makes an ECDSA P-256 key and a PKCS#10 request for it. Internal when OpenSSL fails.
absl::StatusOr<KeyAndRequest> MakeKeyAndRequest();

// Checks that the leaf of `chain_pem` belongs to `key_pem`, names a sensor, and leads to a root of `trust_bundle_pem`,
// now or at any other time (dates are returned, not judged: an expired identity must still be readable).
// InvalidArgument says what is wrong.
absl::StatusOr<CertificateFacts> CheckIdentity(const std::string& key_pem, const std::string& chain_pem,
                                               const std::string& trust_bundle_pem);

}  // namespace bulkhead::sensor
