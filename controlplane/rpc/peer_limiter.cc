// How many calls one peer may make, so that a flood of one does not slow the others.
#include "controlplane/rpc/peer_limiter.h"

#include <algorithm>

#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {

absl::Status PeerLimiter::Enter(const std::string& peer, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  auto found = peers_.find(peer);
  if (found == peers_.end()) {
    if (peers_.size() >= forget_at_) Forget(now);
    found = peers_.try_emplace(peer, Use{TokenBucket(limits_.calls_per_second, now)}).first;
  }
  Use& use = found->second;
  if (use.calls >= limits_.calls_at_once) return PeerTooManyCalls(limits_.calls_at_once);
  if (!use.bucket.Take(now)) return PeerTooFast(limits_.calls_per_second);
  ++use.calls;
  return absl::OkStatus();
}

void PeerLimiter::Leave(const std::string& peer) {
  absl::MutexLock lock(&mutex_);
  const auto found = peers_.find(peer);
  if (found != peers_.end() && found->second.calls > 0) --found->second.calls;
}

size_t PeerLimiter::peers() const {
  absl::MutexLock lock(&mutex_);
  return peers_.size();
}

void PeerLimiter::Forget(absl::Time now) {
  absl::erase_if(peers_, [&](auto& entry) { return entry.second.calls == 0 && entry.second.bucket.Full(now); });
  // Not again before there are twice as many: a fleet that is connected is not looked through for each call.
  forget_at_ = std::max<size_t>(1024, 2 * peers_.size());
}

}  // namespace bulkhead::controlplane
