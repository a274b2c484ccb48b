// The one call that a host makes before it has an identity.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sensor/domain/host_port.h"

namespace bulkhead::sensor {

struct EnrollRequest {
  HostPort control_plane;
  std::string trust_bundle_pem;  // what the control plane's certificate must lead to
  std::string token;
  std::string name;  // wanted sensor name
  std::string csr_der;
};

struct EnrollAnswer {
  std::string sensor_id;
  std::string name;
  std::string chain_pem;
  std::string trust_bundle_pem;
};

// Blocks for at most `timeout`. The control plane's refusal keeps its code and message; Unavailable: it could not be
// reached or its certificate does not lead to the trust bundle (TLS does not say which).
absl::StatusOr<EnrollAnswer> Enroll(const EnrollRequest& request, absl::Duration timeout);

}  // namespace bulkhead::sensor
