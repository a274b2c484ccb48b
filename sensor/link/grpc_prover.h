// Proves with TCP, then TLS, that the control plane can be reached anew.
#pragma once

#include "sensor/domain/connection_prover.h"

namespace bulkhead::sensor {

// Not thread safe.
class GrpcProver : public ConnectionProver {
 public:
  ConnectionProof Prove(const std::vector<ResolvedHost>& hosts, const Credentials& credentials,
                        absl::Duration timeout) override;
};

}  // namespace bulkhead::sensor
