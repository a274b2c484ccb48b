// The network verdicts, case by case.
#include "bulkhead/decide_net.h"

#include <catch2/catch.hpp>
#include <cstring>

namespace {

bh_flow Flow(uint8_t direction, uint8_t protocol, uint32_t facts = 0) {
  bh_flow flow{};
  flow.direction = direction;
  flow.protocol = protocol;
  flow.facts = facts;
  flow.local_port = 22;
  flow.remote_port = 443;
  return flow;
}

TEST_CASE("a verdict of zero is DENY") {
  CHECK(BH_DENY == 0);
  CHECK(bh_decision{}.verdict == BH_DENY);
}

TEST_CASE("loopback, the control plane and neighbour discovery pass every wall") {
  for (const uint32_t fact : {BH_LOOPBACK, BH_CONTROL, BH_NEIGHBOUR}) {
    for (const uint8_t direction : {BH_INBOUND, BH_OUTBOUND}) {
      const bh_flow flow = Flow(direction, BH_PROTO_UDP, fact);
      CHECK(bh_decide(BH_CONTAIN, &flow).verdict == BH_ALLOW);
      CHECK(bh_decide(BH_ISOLATE, &flow).verdict == BH_ALLOW);
    }
  }
}

TEST_CASE("containment asks who opened the flow") {
  struct Case {
    const char* what;
    bh_flow flow;
    uint16_t verdict;
  };
  const Case cases[] = {
      {"SYN out", Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_TCP_SYN), BH_DENY},
      {"segment of an outbound connection", Flow(BH_OUTBOUND, BH_PROTO_TCP), BH_DENY},
      {"segment of an inbound connection", Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_PASSIVE), BH_ALLOW},
      {"SYN-ACK of a listener", Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_LISTENER), BH_ALLOW},
      {"SYN from a socket that came from a listener", Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_TCP_SYN | BH_PASSIVE),
       BH_DENY},
      {"UDP out", Flow(BH_OUTBOUND, BH_PROTO_UDP), BH_DENY},
      {"UDP out from a marked socket", Flow(BH_OUTBOUND, BH_PROTO_UDP, BH_PASSIVE), BH_DENY},
      {"echo reply", Flow(BH_OUTBOUND, BH_PROTO_ICMP, BH_ECHO_REPLY), BH_DENY},
      {"anything in", Flow(BH_INBOUND, BH_PROTO_TCP, BH_TCP_SYN), BH_ALLOW},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(bh_decide(BH_CONTAIN, &c.flow).verdict == c.verdict);
    CHECK(bh_decide(BH_NO_WALL, &c.flow).verdict == BH_ALLOW);
  }
}

TEST_CASE("what a socket remembers counts for this set, this peer and no SYN") {
  bh_flow flow = Flow(BH_OUTBOUND, BH_PROTO_TCP);
  flow.remote[15] = 7;
  bh_socket_mark mark{};
  std::memcpy(mark.remote, flow.remote, sizeof(mark.remote));
  mark.remote_port = flow.remote_port;
  mark.local_port = flow.local_port;
  mark.serial = 5;
  CHECK(bh_mark_allows(&mark, &flow, 5));
  CHECK_FALSE(bh_mark_allows(&mark, &flow, 6));
  for (const uint32_t fact : {BH_TCP_SYN, BH_LISTENER}) {
    bh_flow other = flow;
    other.facts = fact;
    CHECK_FALSE(bh_mark_allows(&mark, &other, 5));
  }
  for (int i = 0; i < 16; ++i) {
    bh_flow other = flow;
    other.remote[i] ^= 0x10;
    CHECK_FALSE(bh_mark_allows(&mark, &other, 5));
  }
  bh_flow other = flow;
  ++other.remote_port;
  CHECK_FALSE(bh_mark_allows(&mark, &other, 5));
  other = flow;
  ++other.local_port;
  CHECK_FALSE(bh_mark_allows(&mark, &other, 5));
}

TEST_CASE("a packet that cannot be judged is denied with its reason, whatever the rules say") {
  for (const uint8_t problem : {BH_DROP_FRAGMENT, BH_DROP_IP_OPTIONS, BH_DROP_EXTENSION_HEADER, BH_DROP_TRUNCATED}) {
    bh_flow flow = Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_PASSIVE | BH_RULE | BH_REPLY);
    flow.problem = problem;
    CHECK(bh_decide(BH_CONTAIN, &flow).verdict == BH_DENY);
    CHECK(bh_decide(BH_CONTAIN, &flow).reason == problem);
    CHECK(bh_decide(BH_ISOLATE, &flow).reason == problem);
    flow.direction = BH_INBOUND;
    CHECK(bh_decide(BH_ISOLATE, &flow).verdict == BH_DENY);
  }
}

TEST_CASE("isolation passes rules and replies only") {
  bh_flow flow = Flow(BH_OUTBOUND, BH_PROTO_UDP);
  CHECK(bh_decide(BH_ISOLATE, &flow).reason == BH_DROP_EGRESS_NO_RULE);
  flow.facts = BH_RULE;
  CHECK(bh_decide(BH_ISOLATE, &flow).verdict == BH_ALLOW);
  flow.facts = BH_REPLY;
  CHECK(bh_decide(BH_ISOLATE, &flow).verdict == BH_ALLOW);
  flow = Flow(BH_INBOUND, BH_PROTO_UDP);
  CHECK(bh_decide(BH_ISOLATE, &flow).reason == BH_DROP_INGRESS_NO_RULE);
}

TEST_CASE("a flow has the direction of its first packet") {
  const auto direction = [](const bh_flow& flow) { return bh_flow_direction(&flow); };
  CHECK(direction(Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_TCP_SYN)) == BH_OUTBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_TCP, BH_TCP_SYN)) == BH_INBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_TCP)) == BH_OUTBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_TCP, BH_PASSIVE)) == BH_INBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_TCP, BH_LISTENER)) == BH_INBOUND);
  CHECK(direction(Flow(BH_OUTBOUND, BH_PROTO_TCP, BH_PASSIVE)) == BH_INBOUND);
  CHECK(direction(Flow(BH_OUTBOUND, BH_PROTO_TCP)) == BH_OUTBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_UDP)) == BH_INBOUND);
  CHECK(direction(Flow(BH_OUTBOUND, BH_PROTO_UDP, BH_PASSIVE)) == BH_OUTBOUND);
  CHECK(direction(Flow(BH_OUTBOUND, BH_PROTO_ICMP, BH_ECHO_REPLY)) == BH_INBOUND);
  CHECK(direction(Flow(BH_INBOUND, BH_PROTO_ICMP, BH_ECHO_REPLY)) == BH_OUTBOUND);
  const bh_flow flow = Flow(BH_OUTBOUND, BH_PROTO_TCP);
  CHECK(bh_rule_port(&flow, BH_INBOUND) == 22);
  CHECK(bh_rule_port(&flow, BH_OUTBOUND) == 443);
}

TEST_CASE("isolation is the wall that counts when both are ordered") {
  bh_config config{};
  CHECK(bh_enforced_wall(&config, 0) == BH_NO_WALL);
  config.contain = BH_WALL_ENFORCE;
  CHECK(bh_enforced_wall(&config, 0) == BH_CONTAIN);
  config.isolate = BH_WALL_SHADOW;
  CHECK(bh_enforced_wall(&config, 0) == BH_CONTAIN);
  CHECK(bh_shadow_wall(&config, 0) == BH_ISOLATE);
  config.isolate = BH_WALL_ENFORCE;
  CHECK(bh_enforced_wall(&config, 0) == BH_ISOLATE);
  config.contain = BH_WALL_SHADOW;
  CHECK(bh_shadow_wall(&config, 0) == BH_CONTAIN);
}

TEST_CASE("neighbour discovery stays on the link and carries nothing else") {
  const uint8_t global[16] = {0x20, 0x01, 0x0d, 0xb8};
  const uint8_t link_local[16] = {0xfe, 0x80};
  const uint8_t all_nodes[16] = {0xff, 0x02};
  const uint8_t site_multicast[16] = {0xff, 0x05};
  CHECK(bh_is_neighbour(135, 255, BH_INBOUND, global, 1000));
  CHECK_FALSE(bh_is_neighbour(135, 254, BH_INBOUND, global, 32));
  CHECK_FALSE(bh_is_neighbour(128, 255, BH_INBOUND, link_local, 32));
  CHECK_FALSE(bh_is_neighbour(137, 255, BH_OUTBOUND, link_local, 32));
  CHECK(bh_is_neighbour(133, 255, BH_OUTBOUND, all_nodes, 100));
  CHECK(bh_is_neighbour(136, 255, BH_OUTBOUND, link_local, 100));
  CHECK(bh_is_neighbour(136, 255, BH_OUTBOUND, global, 32));
  CHECK_FALSE(bh_is_neighbour(136, 255, BH_OUTBOUND, global, 33));
  CHECK_FALSE(bh_is_neighbour(134, 255, BH_OUTBOUND, global, 32));
  CHECK_FALSE(bh_is_neighbour(135, 255, BH_OUTBOUND, site_multicast, 40));
}

}  // namespace
