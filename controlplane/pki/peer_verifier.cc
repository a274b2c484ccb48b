// Says who a peer is by its certificate.
#include "controlplane/pki/peer_verifier.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxPemBytes = 65536;

// Signed by one of the roots, within its time, for client use. The root's fingerprint.
absl::StatusOr<std::string> CheckChain(X509_STORE* roots, X509* leaf, absl::Time now) {
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (context == nullptr || X509_STORE_CTX_init(context.get(), roots, leaf, nullptr) != 1)
    return OpensslError("check a certificate");
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, absl::ToTimeT(now));
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  if (X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT) != 1)
    return OpensslError("check a certificate");
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) {
    const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
    return FingerprintHex(sk_X509_value(chain, sk_X509_num(chain) - 1));
  }
  if (error == X509_V_ERR_CERT_HAS_EXPIRED && X509_STORE_CTX_get_error_depth(context.get()) == 0) {
    return CertificateExpired(NotAfter(leaf));
  }
  return CertificateInvalid(X509_verify_cert_error_string(error));
}

}  // namespace

absl::StatusOr<PeerIdentity> VerifyPeerCertificate(X509_STORE* roots, const std::string& leaf_pem, absl::Time now) {
  if (leaf_pem.size() > kMaxPemBytes) return CertificateInvalid("it is too long");
  const absl::StatusOr<CertificatePtr> leaf = CertificateFromPem(leaf_pem);
  if (!leaf.ok()) return CertificateInvalid(leaf.status().message());
  ASSIGN_OR_RETURN(const std::string issuer_hex, CheckChain(roots, leaf->get(), now));
  const std::vector<std::string> uris = UriNames(leaf->get());
  if (uris.size() != 1) return CertificateInvalid("it does not name exactly one identity");
  PeerIdentity peer;
  peer.serial_hex = SerialHex(leaf->get());
  peer.fingerprint_hex = FingerprintHex(leaf->get());
  peer.not_after = NotAfter(leaf->get());
  peer.issuer_hex = issuer_hex;
  if (absl::StartsWith(uris[0], kSensorUri)) {
    peer.kind = PeerIdentity::Kind::kSensor;
    peer.id = uris[0].substr(sizeof(kSensorUri) - 1);
    if (IsUuid(peer.id)) return peer;
  } else if (absl::StartsWith(uris[0], kOperatorUri)) {
    peer.kind = PeerIdentity::Kind::kOperator;
    peer.id = uris[0].substr(sizeof(kOperatorUri) - 1);
    if (ValidateOperatorName("name", peer.id).ok()) return peer;
  }
  return CertificateInvalid("its identity is not that of a sensor or an operator");
}

}  // namespace bulkhead::controlplane
