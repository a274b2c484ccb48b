// What policies in shadow mode would have cut.
#include "sensor/kernel/shadow_list.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/status_macros.h"
#include "sensor/kernel/blocked_files.h"

namespace bulkhead::sensor {
namespace {

bool Same(const bh_policy_key& a, const bh_policy_key& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

// IpPrefix reads a v4-mapped address as IPv4.
IpPrefix AddressOf(const bh_cut_key& key) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, key.remote, text.data(), text.size());
  return IpPrefix::Parse(text.data()).value_or(IpPrefix());
}

}  // namespace

absl::StatusOr<std::vector<WouldCut>> ReadCuts(const BpfMap& map, const bh_policy_key& policy) {
  ASSIGN_OR_RETURN(const std::vector<bh_cut_key> keys, map.Keys<bh_cut_key>());
  std::vector<WouldCut> cuts;
  for (const bh_cut_key& key : keys) {
    const absl::StatusOr<uint64_t> count = map.Get<uint64_t>(key);
    // An entry may be replaced while the map is read.
    if (!count.ok() || !Same(key.policy, policy)) continue;
    WouldCut cut;
    cut.remote = AddressOf(key);
    cut.port = key.port;
    cut.protocol = key.protocol;
    cut.direction = static_cast<Direction>(key.direction);
    cut.comm = std::string(key.comm, strnlen(key.comm, sizeof(key.comm)));
    cut.count = *count;
    cuts.push_back(std::move(cut));
  }
  const size_t shown = std::min(cuts.size(), kMostCutsShown);
  std::partial_sort(cuts.begin(), cuts.begin() + static_cast<ptrdiff_t>(shown), cuts.end(),
                    [](const WouldCut& a, const WouldCut& b) { return a.count > b.count; });
  cuts.resize(shown);
  return cuts;
}

absl::Status RemoveOtherCuts(const BpfMap& map, const std::vector<std::string>& policy_ids) {
  ASSIGN_OR_RETURN(const std::vector<bh_cut_key> keys, map.Keys<bh_cut_key>());
  for (const bh_cut_key& key : keys) {
    const bool wanted = std::any_of(policy_ids.begin(), policy_ids.end(),
                                    [&key](const std::string& id) { return Same(PolicyKey(id), key.policy); });
    if (!wanted) RETURN_IF_ERROR(map.Delete(&key));
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
