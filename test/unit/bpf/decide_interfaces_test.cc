// Which packets on an interface were judged before, and which frames may leave at all.
#include "bulkhead/decide_interfaces.h"

#include <catch2/catch.hpp>
#include <cstring>

namespace {

constexpr uint8_t kLacpGroup[6] = {0x01, 0x80, 0xc2, 0, 0, 2};
constexpr uint8_t kSomebody[6] = {2, 0, 0, 0, 0, 1};

bh_flow Tcp(uint8_t last, uint16_t port) {
  bh_flow flow{};
  flow.direction = BH_OUTBOUND;
  flow.protocol = BH_PROTO_TCP;
  flow.family = BH_IPV4;
  flow.remote[15] = last;
  flow.remote_port = port;
  return flow;
}

bh_peer Peer(uint8_t last, uint16_t port) {
  bh_peer peer{};
  peer.family = BH_IPV4;
  peer.address[15] = last;
  peer.port = port;
  return peer;
}

TEST_CASE("a TCP packet is its socket's own when it goes where the socket says") {
  const bh_peer peer = Peer(7, 443);
  bh_flow flow = Tcp(7, 443);
  CHECK(bh_is_own(&flow, &peer) == 1);
  const bh_flow translated = Tcp(8, 443);
  CHECK(bh_is_own(&translated, &peer) == 0);
  const bh_flow other_port = Tcp(7, 444);
  CHECK(bh_is_own(&other_port, &peer) == 0);
  const bh_peer nobody{};
  CHECK(bh_is_own(&flow, &nobody) == 0);
  const bh_flow to_nowhere = Tcp(0, 0);
  CHECK(bh_is_own(&to_nowhere, &nobody) == 0);
}

TEST_CASE("nothing but TCP, and nothing that cannot be parsed, is its socket's own") {
  const bh_peer peer = Peer(7, 443);
  for (const uint8_t protocol : {BH_PROTO_UDP, BH_PROTO_ICMP, BH_PROTO_SCTP, 4, 47}) {
    bh_flow flow = Tcp(7, 443);
    flow.protocol = protocol;
    CHECK(bh_is_own(&flow, &peer) == 0);
  }
  for (const uint8_t problem : {BH_DROP_FRAGMENT, BH_DROP_IP_OPTIONS, BH_DROP_TRUNCATED}) {
    bh_flow flow = Tcp(7, 443);
    flow.problem = problem;
    CHECK(bh_is_own(&flow, &peer) == 0);
  }
}

TEST_CASE("only IP is judged; only what keeps a link up leaves besides") {
  CHECK(bh_frame_kind(0x0800, kSomebody) == BH_FRAME_IP);
  CHECK(bh_frame_kind(0x86dd, kSomebody) == BH_FRAME_IP);
  CHECK(bh_frame_kind(0x8100, kSomebody) == BH_FRAME_IP);
  CHECK(bh_frame_kind(0x88a8, kSomebody) == BH_FRAME_IP);
  CHECK(bh_frame_kind(0x0806, kSomebody) == BH_FRAME_ARP);
  CHECK(bh_frame_kind(0x8809, kLacpGroup) == BH_FRAME_LINK);
  CHECK(bh_frame_kind(0x8809, kSomebody) == BH_FRAME_OTHER);
  for (const uint16_t other : {0x0000, 0x0004, 0x8864, 0x88b5, 0x88cc, 0x22f0, 0xffff}) {
    CHECK(bh_frame_kind(other, kLacpGroup) == BH_FRAME_OTHER);
  }
}

}  // namespace
