// An isolation rule as it was asked for, and its validated form.
#include "controlplane/domain/isolation_rule_input.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

constexpr uint32_t kMaxPort = 65535;
constexpr uint32_t kMaxProtocol = 255;
constexpr uint32_t kIcmp = 1;
constexpr uint32_t kTcp = 6;
constexpr uint32_t kUdp = 17;
constexpr uint32_t kIcmpv6 = 58;

absl::Status CheckPorts(const IsolationRuleInput& input) {
  if (!input.has_ports) return absl::OkStatus();
  if (input.first_port < 1 || input.first_port > kMaxPort) {
    return InvalidField("rule.ports.first", absl::StrCat(input.first_port, " is not a port; must be 1..65535"));
  }
  if (input.last_port < input.first_port || input.last_port > kMaxPort) {
    return InvalidField("rule.ports.last", absl::StrCat(input.last_port, " does not end the range; must be ",
                                                        input.first_port, "..65535"));
  }
  if (input.protocol != 0 && input.protocol != kTcp && input.protocol != kUdp) {
    return InvalidField(
        "rule.ports",
        absl::StrCat("protocol ", input.protocol,
                     " has no ports that Bulkhead can check; leave ports unset, or use TCP (6) or UDP (17)"));
  }
  return absl::OkStatus();
}

absl::Status CheckProtocol(const IsolationRuleInput& input, const IpPrefix& remote) {
  if (input.protocol > kMaxProtocol) {
    return InvalidField("rule.protocol",
                        absl::StrCat(input.protocol, " is not an IP protocol; must be 1..255, or 0 for any"));
  }
  if (input.protocol == kIcmp && remote.is_ipv6()) {
    return InvalidField("rule.protocol", "1 is ICMP of IPv4, and the address is IPv6; use 58 (ICMPv6)");
  }
  if (input.protocol == kIcmpv6 && remote.is_ipv4()) {
    return InvalidField("rule.protocol", "58 is ICMPv6, and the address is IPv4; use 1 (ICMP)");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<IsolationRule> ParseIsolationRule(const IsolationRuleInput& input) {
  IsolationRule rule;
  if (!input.address.empty()) {
    absl::StatusOr<IpPrefix> remote = IpPrefix::Parse(input.address);
    if (!remote.ok()) return InvalidField("rule.address", remote.status().message());
    rule.remote = *remote;
  }
  RETURN_IF_ERROR(CheckProtocol(input, rule.remote));
  RETURN_IF_ERROR(CheckPorts(input));
  if (input.direction < static_cast<int>(Direction::kInbound) || input.direction > static_cast<int>(Direction::kAny)) {
    return InvalidField("rule.direction", "must be INBOUND, OUTBOUND or ANY");
  }
  RETURN_IF_ERROR(ValidateText("rule.description", input.description, kMaxDescriptionBytes));
  rule.first_port = static_cast<uint16_t>(input.has_ports ? input.first_port : 0);
  rule.last_port = static_cast<uint16_t>(input.has_ports ? input.last_port : 0);
  rule.protocol = static_cast<uint8_t>(input.protocol);
  rule.direction = static_cast<Direction>(input.direction);
  rule.description = input.description;
  return rule;
}

}  // namespace bulkhead::controlplane
