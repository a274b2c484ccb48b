// Where a probe may knock.
#include "sensor/domain/forbidden_target.h"

#include <algorithm>

namespace bulkhead::sensor {
namespace {

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

bool Allows(const IsolationRule& rule, const ForbiddenTarget& target, uint8_t protocol) {
  if (rule.direction == Direction::kInbound) return false;
  if (!rule.remote.is_any() && !rule.remote.Contains(target.address)) return false;
  if (rule.protocol != 0 && rule.protocol != protocol) return false;
  if (rule.first_port == 0) return true;
  return target.port != 0 && rule.first_port <= target.port && target.port <= rule.last_port;
}

}  // namespace

std::optional<ForbiddenTarget> ChooseForbiddenTarget(const std::vector<IsolationRule>& rules, uint8_t protocol) {
  const bool has_ports = protocol == kTcp || protocol == kUdp;
  for (const char* address : {"192.0.2.1", "198.51.100.1", "203.0.113.1"}) {
    for (const uint16_t port : {9, 443, 49151, 65535}) {
      const ForbiddenTarget target{*IpPrefix::Parse(address), has_ports ? port : uint16_t{0}};
      const bool allowed = std::any_of(rules.begin(), rules.end(),
                                       [&](const IsolationRule& rule) { return Allows(rule, target, protocol); });
      if (!allowed) return target;
    }
  }
  return std::nullopt;
}

}  // namespace bulkhead::sensor
