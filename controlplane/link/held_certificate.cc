// Which certificate and which roots a sensor is known to have, and whether they are still the ones to have.
#include "controlplane/link/held_certificate.h"

#include <utility>

#include "common/status_macros.h"

namespace bulkhead::controlplane {

HeldCertificate::HeldCertificate(Store* store, const CertificateAuthority* authority, const Caller& caller)
    : store_(store),
      authority_(authority),
      sensor_id_(caller.identity.id),
      held_{.serial_hex = caller.identity.serial_hex,
            .issuer_hex = caller.identity.issuer_hex,
            .trust_bundle_digest = caller.trust_bundle_digest} {}

void HeldCertificate::Issued(const IssuedCertificate& certificate) {
  issued_ = Held{.serial_hex = certificate.serial_hex,
                 .issuer_hex = certificate.issuer_hex,
                 .trust_bundle_digest = certificate.trust_bundle_digest};
}

absl::Status HeldCertificate::Confirmed(const std::string& serial_hex) {
  if (!issued_ || issued_->serial_hex != serial_hex) return absl::OkStatus();
  RETURN_IF_ERROR(store_->ConfirmCertificate(sensor_id_, serial_hex));
  held_ = *std::exchange(issued_, std::nullopt);
  return absl::OkStatus();
}

bool HeldCertificate::IsOutdated() const {
  const auto now = authority_->standing();
  return now->issuer_hex != held_.issuer_hex || now->trust_bundle_digest != held_.trust_bundle_digest;
}

}  // namespace bulkhead::controlplane
