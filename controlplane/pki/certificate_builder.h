// Makes and signs one certificate.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {

// What a certificate is to say. Its serial number is 128 random bits.
struct CertificateSpec {
  enum class Use { kAuthority, kClient, kServer };
  Use use = Use::kClient;
  std::string common_name;
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;  // IPv4 or IPv6
  absl::Time not_before;
  absl::Time not_after;
};

// `issuer` null: self-signed, `issuer_key` is then the key that belongs to `subject_key`. Internal when OpenSSL
// refuses. Thread safe.
absl::StatusOr<CertificatePtr> SignCertificate(const CertificateSpec& spec, EVP_PKEY* subject_key, X509* issuer,
                                               EVP_PKEY* issuer_key);

}  // namespace bulkhead::controlplane
