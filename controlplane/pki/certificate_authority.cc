// The certificate authority: which of its roots issues and which are trusted, and what it issues.
#include <arpa/inet.h>
#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/pki/ca_directory.h"
#include "controlplane/pki/certificate_builder.h"
#include "controlplane/pki/certificate_request.h"
#include "controlplane/pki/peer_verifier.h"
#include "controlplane/pki/pki.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {
namespace {

// Clocks of hosts differ; a certificate that is "not yet valid" there would lock them out.
constexpr absl::Duration kClockSkew = absl::Minutes(5);

bool IsAddress(const std::string& name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 || inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

// A host name or wildcard as certificates carry them.
bool IsDnsName(const std::string& name) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '*' || c == '_'; };
  return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), allowed);
}

// Whether `cross_pem` is `root`'s key, signed by `signer`.
bool Follows(X509* root, const std::string& cross_pem, X509* signer) {
  const absl::StatusOr<CertificatePtr> cross = CertificateFromPem(cross_pem);
  const bool good = cross.ok() && EVP_PKEY_eq(X509_get0_pubkey(cross->get()), X509_get0_pubkey(root)) == 1 &&
                    X509_NAME_cmp(X509_get_subject_name(cross->get()), X509_get_subject_name(root)) == 0 &&
                    X509_verify(cross->get(), X509_get0_pubkey(signer)) == 1 && X509_check_ca(root) == 1 &&
                    X509_verify(root, X509_get0_pubkey(root)) == 1;
  ERR_clear_error();
  return good;
}

// The trusted certificates of one moment. Not changed once it is made.
struct Trusted {
  std::vector<RootWithKey> keys;  // on disk
  StorePtr roots;                 // whose certificates are accepted
  size_t issuer = 0;              // in `keys`
  size_t server_issuer = 0;       // in `keys`
  CertificateAuthority::Standing standing;
};

class FileAuthority final : public CertificateAuthority {
 public:
  explicit FileAuthority(std::string directory) : directory_(std::move(directory)) {}

  absl::StatusOr<PublicRoot> MakeSuccessor(absl::Time now) override {
    ASSIGN_OR_RETURN(const RootWithKey made, MakeRoot(now));
    RETURN_IF_ERROR(WriteNextRoot(directory_, made));
    const auto trusted = Current();
    const RootWithKey& before = trusted->keys[trusted->issuer];
    CertificateSpec cross;
    cross.use = CertificateSpec::Use::kAuthority;
    cross.common_name = CommonName(made.certificate.get());
    cross.not_before = NotBefore(made.certificate.get());
    cross.not_after = NotAfter(made.certificate.get());
    ASSIGN_OR_RETURN(const CertificatePtr vouched,
                     SignCertificate(cross, made.key.get(), before.certificate.get(), before.key.get()));
    return PublicRoot{.fingerprint_hex = made.fingerprint_hex,
                      .certificate_pem = CertificateToPem(made.certificate.get()),
                      .cross_pem = CertificateToPem(vouched.get())};
  }

  PublicRoot current_root() const override {
    const auto trusted = Current();
    const RootWithKey& root = trusted->keys[trusted->issuer];
    return {.fingerprint_hex = root.fingerprint_hex,
            .certificate_pem = CertificateToPem(root.certificate.get()),
            .cross_pem = {}};
  }

  absl::Status Follow(const std::vector<PublicRoot>& roots, bool newest_may_issue) override {
    auto next = std::make_shared<Trusted>();
    ASSIGN_OR_RETURN(next->keys, LoadRoots(directory_));
    std::vector<PublicRoot> wanted = roots;
    if (wanted.empty()) {
      const RootWithKey& only = next->keys.front();
      wanted = {{.fingerprint_hex = only.fingerprint_hex,
                 .certificate_pem = CertificateToPem(only.certificate.get()),
                 .cross_pem = {}}};
    }
    RETURN_IF_ERROR(Trust(wanted, *next));
    RETURN_IF_ERROR(ChooseIssuers(wanted, newest_may_issue, *next));
    absl::MutexLock lock(&mutex_);
    trusted_ = std::move(next);
    return absl::OkStatus();
  }

  absl::StatusOr<IssuedCertificate> SignSensorRequest(const std::string& csr_der, const std::string& sensor_id,
                                                      absl::Time now, absl::Duration life) override {
    RETURN_IF_ERROR(ValidateUuid("sensor_id", sensor_id));
    ASSIGN_OR_RETURN(const KeyPtr key, KeyOfRequest(csr_der));
    CertificateSpec spec;
    spec.common_name = sensor_id;
    spec.uris = {absl::StrCat(kSensorUri, sensor_id)};
    const auto current = Current();
    return Issue(*current, current->issuer, std::move(spec), key.get(), now, life);
  }

  absl::StatusOr<KeyAndCertificate> IssueOperator(const std::string& name, absl::Time now,
                                                  absl::Duration life) override {
    RETURN_IF_ERROR(ValidateOperatorName("name", name));
    CertificateSpec spec;
    spec.common_name = name;
    spec.uris = {absl::StrCat(kOperatorUri, name)};
    return IssueWithKey(/*for_server=*/false, std::move(spec), now, life);
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
    return IssueWithKey(/*for_server=*/true, std::move(spec), now, life);
  }

  absl::StatusOr<PeerIdentity> VerifyPeer(const std::string& leaf_pem, absl::Time now) const override {
    return VerifyPeerCertificate(Current()->roots.get(), leaf_pem, now);
  }

  std::shared_ptr<const Standing> standing() const override {
    const auto trusted = Current();
    return {trusted, &trusted->standing};
  }

 private:
  std::shared_ptr<const Trusted> Current() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return trusted_;
  }

  static const RootWithKey* Find(const Trusted& trusted, const std::string& fingerprint_hex) {
    for (const RootWithKey& root : trusted.keys) {
      if (root.fingerprint_hex == fingerprint_hex) return &root;
    }
    return nullptr;
  }

  // Fills in whose certificates are accepted and what clients are told. Each root must be on disk, or follow one of
  // `roots` that is believed and in use: who has the key of one that was retired, perhaps because it was stolen, must
  // not be able to make its heir.
  static absl::Status Trust(const std::vector<PublicRoot>& roots, Trusted& out) {
    out.roots.reset(X509_STORE_new());
    if (out.roots == nullptr) return OpensslError("set up the trusted roots");
    std::vector<CertificatePtr> believed;
    std::vector<std::string> told;
    for (const PublicRoot& root : roots) {
      absl::StatusOr<CertificatePtr> certificate = CertificateFromPem(root.certificate_pem);
      bool good = certificate.ok() && FingerprintHex(certificate->get()) == root.fingerprint_hex;
      if (good && Find(out, root.fingerprint_hex) == nullptr) {
        good = std::any_of(believed.begin(), believed.end(), [&](const CertificatePtr& signer) {
          return Follows(certificate->get(), root.cross_pem, signer.get());
        });
      }
      // An old root that this replica never had says nothing about those after it.
      if (!good && root.retired) continue;
      if (!good) {
        return absl::FailedPreconditionError(absl::StrCat("the root ", root.fingerprint_hex.substr(0, 16),
                                                          " of the database follows none that this replica has in its "
                                                          "ca/ directory; copy ca/ from a replica that works"));
      }
      if (!root.retired && X509_STORE_add_cert(out.roots.get(), certificate->get()) != 1)
        return OpensslError("set up the trusted roots");
      if (root.sent) told.push_back(root.fingerprint_hex);
      if (root.sent) absl::StrAppend(&out.standing.trust_bundle_pem, root.certificate_pem);
      if (!root.retired) believed.push_back(*std::move(certificate));
    }
    out.standing.trust_bundle_digest = TrustBundleDigest(told);
    return absl::OkStatus();
  }

  static absl::Status ChooseIssuers(const std::vector<PublicRoot>& roots, bool newest_may_issue, Trusted& out) {
    std::vector<size_t> usable;  // in `keys`, oldest root first
    for (const PublicRoot& root : roots) {
      const RootWithKey* const key = root.retired ? nullptr : Find(out, root.fingerprint_hex);
      if (key != nullptr) usable.push_back(static_cast<size_t>(key - out.keys.data()));
    }
    if (usable.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("this replica has no key of the certificate authority that is in use; copy ca/",
                       RootDirectoryName(roots.back().fingerprint_hex), " from a replica that has it"));
    }
    out.server_issuer = usable.front();
    out.issuer = newest_may_issue ? usable.back() : usable.front();
    out.standing.issuer_hex = out.keys[out.issuer].fingerprint_hex;
    out.standing.server_issuer_hex = out.keys[out.server_issuer].fingerprint_hex;
    return absl::OkStatus();
  }

  static absl::StatusOr<IssuedCertificate> Issue(const Trusted& trusted, size_t issuer, CertificateSpec spec,
                                                 EVP_PKEY* key, absl::Time now, absl::Duration life) {
    if (life <= absl::ZeroDuration()) return absl::InvalidArgumentError("a certificate's life must be positive");
    const RootWithKey& root = trusted.keys[issuer];
    spec.not_before = now - kClockSkew;
    // What outlives its issuer would stop working all the same, only less plainly.
    spec.not_after = std::min(now + life, NotAfter(root.certificate.get()));
    if (spec.not_after <= now) {
      return absl::FailedPreconditionError(
          "the certificate authority has expired; make a new one and enroll the sensors again");
    }
    ASSIGN_OR_RETURN(const CertificatePtr made, SignCertificate(spec, key, root.certificate.get(), root.key.get()));
    IssuedCertificate issued;
    issued.chain_pem = CertificateToPem(made.get());
    issued.serial_hex = SerialHex(made.get());
    issued.fingerprint_hex = FingerprintHex(made.get());
    issued.not_before = NotBefore(made.get());
    issued.not_after = NotAfter(made.get());
    issued.issuer_hex = root.fingerprint_hex;
    issued.trust_bundle_pem = trusted.standing.trust_bundle_pem;
    issued.trust_bundle_digest = trusted.standing.trust_bundle_digest;
    return issued;
  }

  absl::StatusOr<KeyAndCertificate> IssueWithKey(bool for_server, CertificateSpec spec, absl::Time now,
                                                 absl::Duration life) const {
    ASSIGN_OR_RETURN(const KeyPtr key, NewP256Key());
    const auto trusted = Current();
    KeyAndCertificate out;
    ASSIGN_OR_RETURN(out.certificate, Issue(*trusted, for_server ? trusted->server_issuer : trusted->issuer,
                                            std::move(spec), key.get(), now, life));
    out.key_pem = KeyToPem(key.get());
    return out;
  }

  const std::string directory_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Trusted> trusted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::string TrustBundleDigest(const std::vector<std::string>& fingerprints_hex) {
  return Sha256(absl::StrJoin(fingerprints_hex, " "));
}

SensorCertificate IssuedCertificate::RecordFor(const std::string& sensor_id) const {
  return {.serial_hex = serial_hex,
          .sensor_id = sensor_id,
          .fingerprint_hex = fingerprint_hex,
          .not_before = not_before,
          .not_after = not_after,
          .issuer_hex = issuer_hex,
          .trust_bundle_digest = trust_bundle_digest};
}

absl::Status CheckKeyAndCertificate(const std::string& key_pem, const std::string& chain_pem, absl::Time now) {
  ASSIGN_OR_RETURN(const KeyPtr key, KeyFromPem(key_pem));
  ASSIGN_OR_RETURN(const CertificatePtr leaf, CertificateFromPem(chain_pem));
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the key does not belong to the certificate");
  }
  if (now < NotBefore(leaf.get())) return absl::InvalidArgumentError("the certificate is not valid yet");
  if (now >= NotAfter(leaf.get())) return absl::InvalidArgumentError("the certificate has expired");
  return absl::OkStatus();
}

absl::Status CertificateAuthority::Create(const std::string& directory, absl::Time now) {
  ASSIGN_OR_RETURN(const RootWithKey root, MakeRoot(now));
  return WriteFirstRoot(directory, root);
}

absl::StatusOr<std::unique_ptr<CertificateAuthority>> CertificateAuthority::Open(const std::string& directory) {
  auto authority = std::make_unique<FileAuthority>(directory);
  RETURN_IF_ERROR(authority->Follow({}, /*newest_may_issue=*/false));
  return std::unique_ptr<CertificateAuthority>(std::move(authority));
}

}  // namespace bulkhead::controlplane
