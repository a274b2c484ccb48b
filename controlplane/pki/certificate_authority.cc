// The certificate authority: one key in a directory, and what it issues.
#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/pki/certificate_builder.h"
#include "controlplane/pki/certificate_request.h"
#include "controlplane/pki/peer_verifier.h"
#include "controlplane/pki/pki.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kAuthorityLife = absl::Hours(24 * 365 * 10);
// Clocks of hosts differ; a certificate that is "not yet valid" there would lock them out.
constexpr absl::Duration kClockSkew = absl::Minutes(5);

std::string KeyPath(const std::string& directory) {
  return absl::StrCat(directory, "/ca-key.pem");
}

std::string CertificatePath(const std::string& directory) {
  return absl::StrCat(directory, "/ca.pem");
}

bool IsAddress(const std::string& name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 || inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

// A host name or wildcard as certificates carry them.
bool IsDnsName(const std::string& name) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '*' || c == '_'; };
  return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), allowed);
}

class FileAuthority final : public CertificateAuthority {
 public:
  FileAuthority(KeyPtr key, CertificatePtr certificate, StorePtr roots)
      : key_(std::move(key)),
        certificate_(std::move(certificate)),
        roots_(std::move(roots)),
        bundle_(CertificateToPem(certificate_.get())) {}

  absl::StatusOr<IssuedCertificate> SignSensorRequest(const std::string& csr_der, const std::string& sensor_id,
                                                      absl::Time now, absl::Duration life) override {
    RETURN_IF_ERROR(ValidateUuid("sensor_id", sensor_id));
    ASSIGN_OR_RETURN(const KeyPtr key, KeyOfRequest(csr_der));
    CertificateSpec spec;
    spec.common_name = sensor_id;
    spec.uris = {absl::StrCat(kSensorUri, sensor_id)};
    return Issue(std::move(spec), key.get(), now, life);
  }

  absl::StatusOr<KeyAndCertificate> IssueOperator(const std::string& name, absl::Time now,
                                                  absl::Duration life) override {
    RETURN_IF_ERROR(ValidateOperatorName("name", name));
    CertificateSpec spec;
    spec.common_name = name;
    spec.uris = {absl::StrCat(kOperatorUri, name)};
    return IssueWithKey(std::move(spec), now, life);
  }

  absl::StatusOr<KeyAndCertificate> IssueServer(const std::vector<std::string>& names, absl::Time now,
                                                absl::Duration life) override {
    CertificateSpec spec;
    spec.use = CertificateSpec::Use::kServer;
    for (const std::string& name : names) {
      if (IsAddress(name)) {
        spec.addresses.push_back(name);
      } else if (IsDnsName(name)) {
        spec.dns_names.push_back(name);
      } else {
        return InvalidField("names",
                            absl::StrCat("\"", absl::CHexEscape(name), "\" is neither a DNS name nor an IP address"));
      }
    }
    if (names.empty()) return InvalidField("names", "at least one DNS name or IP address is needed");
    spec.common_name = names.front();
    return IssueWithKey(std::move(spec), now, life);
  }

  absl::StatusOr<PeerIdentity> VerifyPeer(const std::string& leaf_pem, absl::Time now) const override {
    return VerifyPeerCertificate(roots_.get(), leaf_pem, now);
  }

  const std::string& trust_bundle_pem() const override { return bundle_; }

 private:
  absl::StatusOr<IssuedCertificate> Issue(CertificateSpec spec, EVP_PKEY* key, absl::Time now,
                                          absl::Duration life) const {
    if (life <= absl::ZeroDuration()) return absl::InvalidArgumentError("a certificate's life must be positive");
    spec.not_before = now - kClockSkew;
    // What outlives its issuer would stop working all the same, only less plainly.
    spec.not_after = std::min(now + life, NotAfter(certificate_.get()));
    if (spec.not_after <= now) {
      return absl::FailedPreconditionError(
          "the certificate authority has expired; make a new one and enroll the sensors again");
    }
    ASSIGN_OR_RETURN(const CertificatePtr made, SignCertificate(spec, key, certificate_.get(), key_.get()));
    IssuedCertificate issued;
    issued.chain_pem = CertificateToPem(made.get());
    issued.serial_hex = SerialHex(made.get());
    issued.fingerprint_hex = FingerprintHex(made.get());
    issued.not_before = NotBefore(made.get());
    issued.not_after = NotAfter(made.get());
    return issued;
  }

  absl::StatusOr<KeyAndCertificate> IssueWithKey(CertificateSpec spec, absl::Time now, absl::Duration life) const {
    ASSIGN_OR_RETURN(const KeyPtr key, NewP256Key());
    KeyAndCertificate out;
    ASSIGN_OR_RETURN(out.certificate, Issue(std::move(spec), key.get(), now, life));
    out.key_pem = KeyToPem(key.get());
    return out;
  }

  const KeyPtr key_;
  const CertificatePtr certificate_;
  const StorePtr roots_;
  const std::string bundle_;
};

}  // namespace

absl::Status CertificateAuthority::Create(const std::string& directory, absl::Time now) {
  const absl::Status existing = ReadFile(CertificatePath(directory)).status();
  if (existing.ok()) {
    return absl::AlreadyExistsError(absl::StrCat(directory, " holds a certificate authority; it is kept as it is"));
  }
  if (!absl::IsNotFound(existing)) return existing;
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(const KeyPtr key, NewP256Key());
  CertificateSpec spec;
  spec.use = CertificateSpec::Use::kAuthority;
  spec.common_name = absl::StrCat("Bulkhead CA ", NewUuid().substr(0, 8));
  spec.not_before = now - kClockSkew;
  spec.not_after = now + kAuthorityLife;
  ASSIGN_OR_RETURN(const CertificatePtr certificate, SignCertificate(spec, key.get(), nullptr, key.get()));
  // The certificate last: while it is missing there is no authority, and a start that was cut off begins again.
  RETURN_IF_ERROR(WriteFileAtomically(KeyPath(directory), KeyToPem(key.get()), 0600));
  return WriteFileAtomically(CertificatePath(directory), CertificateToPem(certificate.get()), 0644);
}

absl::StatusOr<std::unique_ptr<CertificateAuthority>> CertificateAuthority::Open(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string certificate_pem, ReadFile(CertificatePath(directory)));
  ASSIGN_OR_RETURN(const std::string key_pem, ReadFile(KeyPath(directory)));
  absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(certificate_pem);
  absl::StatusOr<KeyPtr> key = KeyFromPem(key_pem);
  if (!certificate.ok() || !key.ok() || X509_check_private_key(certificate->get(), key->get()) != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "ca.pem and ca-key.pem in ", directory, " are damaged or do not belong together; restore both from a backup"));
  }
  StorePtr roots(X509_STORE_new());
  if (roots == nullptr || X509_STORE_add_cert(roots.get(), certificate->get()) != 1)
    return OpensslError("set up the trusted roots");
  return std::unique_ptr<CertificateAuthority>(
      std::make_unique<FileAuthority>(*std::move(key), *std::move(certificate), std::move(roots)));
}

}  // namespace bulkhead::controlplane
