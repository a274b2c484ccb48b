// How many connections are accepted: a token bucket for all, and one for each address.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "controlplane/domain/token_bucket.h"

namespace bulkhead::controlplane {

// Decides before TLS begins, which costs about 3.6 ms of a core a connection: a storm of reconnecting sensors waits in
// the kernel's backlog and is served at a rate that leaves room for orders, and one address alone cannot use all of it.
// Not thread safe.
class Admission {
 public:
  struct Limits {
    double rate = 150;  // connections a second
    double rate_per_address = 100;
  };

  Admission(const Limits& limits, absl::Time now) : limits_(limits), all_(limits.rate, now) {}

  // How long to leave connections in the backlog; zero: accept one.
  absl::Duration Wait(absl::Time now) { return all_.Wait(now); }
  // Whether a connection that was accepted, from this address without port, is served. One that is not costs the others
  // nothing.
  bool Admit(const std::string& address, absl::Time now);

  // How many of this address were not served since this was last asked; 0 for one that is not remembered.
  uint64_t TakeRefused(const std::string& address);
  // Addresses that are remembered; bounded.
  size_t addresses() const { return by_address_.size(); }

 private:
  struct Peer {
    TokenBucket tokens;
    uint64_t refused = 0;
  };
  void Forget(absl::Time now);

  const Limits limits_;
  TokenBucket all_;
  absl::flat_hash_map<std::string, Peer> by_address_;
};

}  // namespace bulkhead::controlplane
