// When to try the control plane again.
#include "sensor/domain/backoff.h"

#include <algorithm>

namespace bulkhead::sensor {

absl::Duration Backoff::AfterFailure() {
  // 2^6 seconds is beyond the cap; a larger shift would only overflow.
  const absl::Duration limit = std::min(kCap, kFirst * (1 << std::min(failures_, 6)));
  ++failures_;
  return limit * uniform_();
}

absl::Duration Backoff::AfterSession(absl::Duration lived) {
  if (lived < kProvenAfter) return AfterFailure();
  failures_ = 0;
  return kSpread * uniform_();
}

absl::Duration Backoff::AfterRefusal() {
  return kCap + kCap * 0.25 * uniform_();
}

}  // namespace bulkhead::sensor
