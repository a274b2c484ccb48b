// Certificate, then the database's opinion of its owner, then the role.
#include "controlplane/rpc/gate.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"

namespace bulkhead::controlplane {

absl::StatusOr<Caller> Gate::Admit(const std::string& leaf_pem, Access access, const std::string& path) const {
  if (access == Access::kAnyone) return Caller{};
  if (leaf_pem.empty()) return CertificateRequired();
  ASSIGN_OR_RETURN(const PeerIdentity identity, authority_->VerifyPeer(leaf_pem, clock_->Now()));
  const bool is_sensor = identity.kind == PeerIdentity::Kind::kSensor;
  if (is_sensor != (access == Access::kSensor)) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, is_sensor ? " is for operators, not for sensors" : " is for sensors, not for operators"));
  }
  return is_sensor ? AdmitSensor(identity) : AdmitOperator(identity, path);
}

absl::StatusOr<Caller> Gate::AdmitSensor(const PeerIdentity& identity) const {
  const absl::StatusOr<SensorCertificate> certificate = store_->FindCertificate(identity.serial_hex);
  // A certificate of ours that the database does not know belonged to a sensor that was deleted, its certificates with
  // it.
  if (absl::IsNotFound(certificate.status())) return SensorIdentityDeleted(identity.id);
  RETURN_IF_ERROR(certificate.status());
  if (certificate->revoked) return SensorIdentityRevoked(identity.id);
  if (certificate->sensor_id != identity.id || certificate->fingerprint_hex != identity.fingerprint_hex) {
    return CertificateInvalid("it is not the one that was issued under its serial number");
  }
  if (certificate->superseded) {
    RETURN_IF_ERROR(store_->CountSupersededUse(identity.serial_hex));
    return CertificateSuperseded();
  }
  if (!certificate->used) RETURN_IF_ERROR(store_->ActivateCertificate(identity.serial_hex));
  Caller caller{.name = identity.id, .role = {}, .identity = identity};
  caller.trust_bundle_digest = certificate->trust_bundle_digest;
  // From before bundles were recorded: there was one root.
  if (caller.trust_bundle_digest.empty()) caller.trust_bundle_digest = TrustBundleDigest({identity.issuer_hex});
  return caller;
}

absl::StatusOr<Caller> Gate::AdmitOperator(const PeerIdentity& identity, const std::string& path) const {
  const absl::StatusOr<Operator> found = store_->FindOperator(identity.fingerprint_hex);
  if (absl::IsNotFound(found.status())) return OperatorUnknown(identity.id);
  RETURN_IF_ERROR(found.status());
  if (found->name != identity.id)
    return CertificateInvalid("it names another operator than the one it is registered for");
  if (found->disabled) return OperatorDisabled(found->name);
  RETURN_IF_ERROR(CheckPermission(*found, path));
  return Caller{.name = found->name, .role = found->role, .identity = identity};
}

}  // namespace bulkhead::controlplane
