// Proves connections to the control plane away from the loop: one proof can take seconds.
#pragma once

#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sensor/domain/connection_prover.h"

namespace bulkhead::sensor {

// A proof that has ended.
struct ProofDone {
  uint64_t ticket = 0;  // of the request
  ConnectionProof proof;
};

// One thread. A request replaces one that still waits: only the newest wall is on trial. Start is thread safe.
class ProofWorker {
 public:
  // Long enough for a lost SYN to be sent again, short enough for an operator who waits.
  static constexpr absl::Duration kTimeout = absl::Seconds(4);

  // `done` is called on the worker's thread.
  ProofWorker(ConnectionProver* prover, std::function<void(ProofDone)> done);
  // Waits for the proof that runs.
  ~ProofWorker();

  void Start(uint64_t ticket, std::vector<ResolvedHost> hosts, Credentials credentials);

 private:
  struct Request {
    uint64_t ticket = 0;
    std::vector<ResolvedHost> hosts;
    Credentials credentials;
  };

  void Work();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || waiting_.has_value(); }

  ConnectionProver* const prover_;
  const std::function<void(ProofDone)> done_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Request> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses everything above
};

}  // namespace bulkhead::sensor
