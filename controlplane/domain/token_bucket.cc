// How often something may be done: tokens that come at a rate.
#include "controlplane/domain/token_bucket.h"

#include <algorithm>

namespace bulkhead::controlplane {

void TokenBucket::Fill(absl::Time now) {
  // A clock that went back brings no tokens and takes none.
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(now - at_));
  tokens_ = std::min(tokens_ + seconds * rate_, std::max(1.0, kKeptSeconds * rate_));
  at_ = now;
}

bool TokenBucket::Take(absl::Time now) {
  Fill(now);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

absl::Duration TokenBucket::Wait(absl::Time now) {
  Fill(now);
  return tokens_ >= 1 ? absl::ZeroDuration() : absl::Seconds((1 - tokens_) / rate_);
}

bool TokenBucket::Full(absl::Time now) {
  Fill(now);
  return tokens_ >= kKeptSeconds * rate_;
}

}  // namespace bulkhead::controlplane
