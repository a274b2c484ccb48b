// Which certificate and which roots a sensor is known to have, and whether they are still the ones to have.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "controlplane/pki/pki.h"
#include "controlplane/rpc/gate.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// Of one stream. Not thread safe.
class HeldCertificate {
 public:
  // `caller` is the sensor, with what it showed when the stream began. `store` and `authority` outlive this.
  HeldCertificate(Store* store, const CertificateAuthority* authority, const Caller& caller);

  // A newer certificate was issued over this stream; whether it arrived is not known yet.
  void Issued(const IssuedCertificate& certificate);
  // The sensor says that it has this certificate, and the roots that were sent with it, on disk. Stores that when it is
  // the one that was issued.
  absl::Status Confirmed(const std::string& serial_hex);
  // Whether another root issues now, or others are to be trusted, than the sensor knows.
  bool IsOutdated() const;

 private:
  struct Held {
    std::string serial_hex;
    std::string issuer_hex;
    std::string trust_bundle_digest;
  };

  Store* const store_;
  const CertificateAuthority* const authority_;
  const std::string sensor_id_;
  Held held_;                   // the newest that the sensor is known to have
  std::optional<Held> issued_;  // not yet confirmed
};

}  // namespace bulkhead::controlplane
