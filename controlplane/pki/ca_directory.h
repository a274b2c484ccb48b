// The keys of the certificate authority on disk.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {

// A root with its key.
struct RootWithKey {
  KeyPtr key;
  CertificatePtr certificate;
  std::string fingerprint_hex;
};

// The first root is in the directory itself (ca.pem, ca-key.pem mode 0600), each that followed in a directory root-…
// below. Pairs are written once and never changed, so a copy of the directory is complete or lacks a whole root.
//
// Every pair that is there, the first root first. NotFound: there is none. FailedPrecondition names a pair that is
// damaged or does not belong together; a root-… without ca.pem is half written or half copied, and left out.
absl::StatusOr<std::vector<RootWithKey>> LoadRoots(const std::string& directory);

// A fresh self-signed root of ten years.
absl::StatusOr<RootWithKey> MakeRoot(absl::Time now);

// Writes a pair: the key, then the certificate, so that without the second there is no root.
absl::Status WriteFirstRoot(const std::string& directory, const RootWithKey& root);
absl::Status WriteNextRoot(const std::string& directory, const RootWithKey& root);

// "root-" and the first 16 digits of the fingerprint: the directory of a root that followed.
std::string RootDirectoryName(const std::string& fingerprint_hex);

}  // namespace bulkhead::controlplane
