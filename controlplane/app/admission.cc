// How many connections are accepted: a token bucket for all, and one for each address.
#include "controlplane/app/admission.h"

#include <utility>

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxAddresses = 10'000;

}  // namespace

bool Admission::Admit(const std::string& address, absl::Time now) {
  auto found = by_address_.find(address);
  if (found == by_address_.end()) {
    if (by_address_.size() >= kMaxAddresses) Forget(now);
    found = by_address_.try_emplace(address, Peer{TokenBucket(limits_.rate_per_address, now)}).first;
  }
  if (found->second.tokens.Take(now) && all_.Take(now)) return true;
  ++found->second.refused;
  return false;
}

uint64_t Admission::TakeRefused(const std::string& address) {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? 0 : std::exchange(found->second.refused, 0);
}

void Admission::Forget(absl::Time now) {
  absl::erase_if(by_address_, [&](auto& entry) { return entry.second.tokens.Full(now); });
  // So many addresses at once: an attacker's. Whom it forgets may begin anew, the bucket for all still holds.
  if (by_address_.size() >= kMaxAddresses) by_address_.clear();
}

}  // namespace bulkhead::controlplane
