// How many calls one peer may make, so that a flood of one does not slow the others.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controlplane/domain/token_bucket.h"

namespace bulkhead::controlplane {

// Asked before any work is done for a call: before the certificate is looked at, before the queue of the workers.
// Thread safe.
class PeerLimiter {
 public:
  struct Limits {
    double calls_per_second = 1000;  // two seconds' worth at once
    int calls_at_once = 64;          // streams count while they last
  };

  explicit PeerLimiter(const Limits& limits) : limits_(limits) {}

  // `peer` is what it proved in the TLS handshake that it is: its certificate, or, without one, its address. OK: call
  // Leave when the call is over. PeerTooFast, PeerTooManyCalls.
  absl::Status Enter(const std::string& peer, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(const std::string& peer) ABSL_LOCKS_EXCLUDED(mutex_);

  // Peers that are remembered: those with a call, and those that made one in the last seconds.
  size_t peers() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Use {
    TokenBucket bucket;
    int calls = 0;
  };
  void Forget(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Use> peers_ ABSL_GUARDED_BY(mutex_);
  size_t forget_at_ ABSL_GUARDED_BY(mutex_) = 1024;
};

}  // namespace bulkhead::controlplane
