// How often something may be done: tokens that come at a rate.
#pragma once

#include "absl/time/time.h"

namespace bulkhead::controlplane {

// Tokens come at a rate and are kept up to two seconds' worth. Not thread safe.
class TokenBucket {
 public:
  TokenBucket(double rate, absl::Time now) : rate_(rate), tokens_(kKeptSeconds * rate), at_(now) {}

  // Takes one. False when there is none.
  bool Take(absl::Time now);
  // How long until there is one.
  absl::Duration Wait(absl::Time now);
  // Full again: as good as new.
  bool Full(absl::Time now);

 private:
  static constexpr double kKeptSeconds = 2;
  void Fill(absl::Time now);

  const double rate_;
  double tokens_;
  absl::Time at_;
};

}  // namespace bulkhead::controlplane
