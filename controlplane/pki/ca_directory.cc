// Reads and writes pairs of key and certificate.
#include "controlplane/pki/ca_directory.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/pki/certificate_builder.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kRootLife = absl::Hours(24 * 365 * 10);
// Clocks of hosts differ; a root that is "not yet valid" there would lock them out.
constexpr absl::Duration kClockSkew = absl::Minutes(5);
constexpr char kRootPrefix[] = "root-";

std::string KeyPath(const std::string& directory) {
  return absl::StrCat(directory, "/ca-key.pem");
}

std::string CertificatePath(const std::string& directory) {
  return absl::StrCat(directory, "/ca.pem");
}

absl::StatusOr<RootWithKey> LoadPair(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string certificate_pem, ReadFile(CertificatePath(directory)));
  ASSIGN_OR_RETURN(const std::string key_pem, ReadFile(KeyPath(directory)));
  absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(certificate_pem);
  absl::StatusOr<KeyPtr> key = KeyFromPem(key_pem);
  if (!certificate.ok() || !key.ok() || X509_check_private_key(certificate->get(), key->get()) != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "ca.pem and ca-key.pem in ", directory, " are damaged or do not belong together; restore both from a backup"));
  }
  std::string fingerprint = FingerprintHex(certificate->get());
  return RootWithKey{*std::move(key), *std::move(certificate), std::move(fingerprint)};
}

absl::Status WritePair(const std::string& directory, const RootWithKey& root) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  RETURN_IF_ERROR(WriteFileAtomically(KeyPath(directory), KeyToPem(root.key.get()), 0600));
  return WriteFileAtomically(CertificatePath(directory), CertificateToPem(root.certificate.get()), 0644);
}

}  // namespace

absl::StatusOr<std::vector<RootWithKey>> LoadRoots(const std::string& directory) {
  std::vector<RootWithKey> roots;
  absl::StatusOr<RootWithKey> first = LoadPair(directory);
  // The key of a root that was retired need not be kept.
  if (!first.ok() && !absl::IsNotFound(first.status())) return first.status();
  if (first.ok()) roots.push_back(*std::move(first));
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    if (!absl::StartsWith(entry.path().filename().string(), kRootPrefix)) continue;
    absl::StatusOr<RootWithKey> root = LoadPair(entry.path().string());
    if (absl::IsNotFound(root.status())) continue;
    RETURN_IF_ERROR(root.status());
    roots.push_back(*std::move(root));
  }
  if (roots.empty()) return absl::NotFoundError(absl::StrCat(directory, " holds no certificate authority"));
  if (failed) return absl::InternalError(absl::StrCat("reading ", directory, ": ", failed.message()));
  return roots;
}

absl::StatusOr<RootWithKey> MakeRoot(absl::Time now) {
  RootWithKey root;
  ASSIGN_OR_RETURN(root.key, NewP256Key());
  CertificateSpec spec;
  spec.use = CertificateSpec::Use::kAuthority;
  spec.common_name = absl::StrCat("Bulkhead CA ", NewUuid().substr(0, 8));
  spec.not_before = now - kClockSkew;
  spec.not_after = now + kRootLife;
  ASSIGN_OR_RETURN(root.certificate, SignCertificate(spec, root.key.get(), nullptr, root.key.get()));
  root.fingerprint_hex = FingerprintHex(root.certificate.get());
  return root;
}

absl::Status WriteFirstRoot(const std::string& directory, const RootWithKey& root) {
  const absl::Status existing = ReadFile(CertificatePath(directory)).status();
  if (existing.ok()) {
    return absl::AlreadyExistsError(absl::StrCat(directory, " holds a certificate authority; it is kept as it is"));
  }
  if (!absl::IsNotFound(existing)) return existing;
  return WritePair(directory, root);
}

absl::Status WriteNextRoot(const std::string& directory, const RootWithKey& root) {
  return WritePair(absl::StrCat(directory, "/", RootDirectoryName(root.fingerprint_hex)), root);
}

std::string RootDirectoryName(const std::string& fingerprint_hex) {
  return absl::StrCat(kRootPrefix, fingerprint_hex.substr(0, 16));
}

}  // namespace bulkhead::controlplane
