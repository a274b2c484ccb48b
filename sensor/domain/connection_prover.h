// Port: proves that a new connection to the control plane works. Implemented by sensor/link, faked in unit tests.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/domain/trial.h"

namespace bulkhead::sensor {

// What was seen, and in words: which addresses were tried and what came of each.
struct ConnectionProof {
  Reachability seen = Reachability::kSilent;
  std::string detail;
};

class ConnectionProver {
 public:
  virtual ~ConnectionProver() = default;

  // Opens new TCP connections to all addresses of `hosts` at the same time and a new TLS session on the first that
  // answers, never a stream that exists. Blocks for at most `timeout` plus some milliseconds. Called on one thread.
  virtual ConnectionProof Prove(const std::vector<ResolvedHost>& hosts, const Credentials& credentials,
                                absl::Duration timeout) = 0;
};

}  // namespace bulkhead::sensor
