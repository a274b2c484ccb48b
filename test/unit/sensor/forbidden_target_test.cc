// A probe knocks only where no rule lets it in.
#include "sensor/domain/forbidden_target.h"

#include <catch2/catch.hpp>

namespace bulkhead::sensor {
namespace {

constexpr uint8_t kIcmp = 1;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

IsolationRule Rule(const std::string& remote, uint16_t first, uint16_t last, uint8_t protocol,
                   Direction direction = Direction::kOutbound) {
  IsolationRule rule;
  if (!remote.empty()) rule.remote = *IpPrefix::Parse(remote);
  rule.first_port = first;
  rule.last_port = last;
  rule.protocol = protocol;
  rule.direction = direction;
  return rule;
}

std::string Chosen(const std::vector<IsolationRule>& rules, uint8_t protocol) {
  const auto target = ChooseForbiddenTarget(rules, protocol);
  return target.has_value() ? target->address.ToString() + " " + std::to_string(target->port) : "none";
}

TEST_CASE("the first documentation address that no rule allows") {
  CHECK(Chosen({}, kTcp) == "192.0.2.1 9");
  CHECK(Chosen({}, kIcmp) == "192.0.2.1 0");
  CHECK(Chosen({Rule("192.0.2.0/24", 0, 0, 0)}, kTcp) == "198.51.100.1 9");
  CHECK(Chosen({Rule("192.0.2.1", 0, 0, kTcp)}, kTcp) == "198.51.100.1 9");
  CHECK(Chosen({Rule("192.0.2.1", 0, 0, kTcp)}, kUdp) == "192.0.2.1 9");
  CHECK(Chosen({Rule("", 1, 1024, 0)}, kTcp) == "192.0.2.1 49151");
  // A rule with ports says nothing about a protocol without them.
  CHECK(Chosen({Rule("", 1, 65535, 0)}, kIcmp) == "192.0.2.1 0");
  CHECK(Chosen({Rule("2001:db8::/32", 0, 0, 0)}, kTcp) == "192.0.2.1 9");
}

TEST_CASE("who may come in does not say where this host may go") {
  CHECK(Chosen({Rule("", 0, 0, 0, Direction::kInbound)}, kTcp) == "192.0.2.1 9");
  CHECK(Chosen({Rule("", 0, 0, 0, Direction::kAny)}, kTcp) == "none");
}

TEST_CASE("where everything is allowed there is nothing to try") {
  CHECK(Chosen({Rule("", 0, 0, 0)}, kTcp) == "none");
  CHECK(Chosen({Rule("0.0.0.0/0", 1, 65535, kTcp)}, kTcp) == "none");
  CHECK(Chosen({Rule("", 0, 0, kIcmp)}, kIcmp) == "none");
}

}  // namespace
}  // namespace bulkhead::sensor
