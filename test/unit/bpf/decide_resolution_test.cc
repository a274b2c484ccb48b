// What address resolution may say behind a wall.
#include "bulkhead/decide_resolution.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>

namespace {

using Address = std::array<uint8_t, 16>;

constexpr uint8_t kOwnMac[6] = {2, 0, 0, 0, 0, 7};
constexpr uint8_t kAllMacs[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr Address kTarget = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0xcc};
constexpr Address kSolicited = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xaa, 0xbb, 0xcc};
constexpr Address kAllNodes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr Address kAllRouters = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
constexpr Address kAsker = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};

bh_arp Arp(uint8_t operation) {
  bh_arp arp{};
  arp.hardware[1] = 1;
  arp.protocol[0] = 8;
  arp.hardware_bytes = 6;
  arp.protocol_bytes = 4;
  arp.operation[1] = operation;
  return arp;
}

// With the option of an Ethernet interface.
bh_discovery Discovery(uint8_t type) {
  bh_discovery message{};
  message.type = type;
  std::copy(kTarget.begin(), kTarget.end(), message.target);
  message.option[0] = type == BH_SOLICITS_NEIGHBOUR ? BH_OPTION_SOURCE : BH_OPTION_TARGET;
  message.option[1] = 1;
  std::memcpy(message.option + 2, kOwnMac, sizeof(kOwnMac));
  if (type == BH_ADVERTISES_NEIGHBOUR) message.flags = BH_ADVERTISES_SOLICITED;
  return message;
}

bh_resolution Says(const bh_discovery& message, uint32_t bytes, const Address& to) {
  return bh_discovery_says(&message, bytes, to.data(), kOwnMac);
}

TEST_CASE("ARP of Ethernet and IPv4 asks, or answers the one who asked") {
  const bh_arp request = Arp(1), reply = Arp(2);
  CHECK(bh_arp_says(&request, kAllMacs) == BH_SAYS_ASKS);
  CHECK(bh_arp_says(&request, kOwnMac) == BH_SAYS_ASKS);
  CHECK(bh_arp_says(&reply, kOwnMac) == BH_SAYS_PLAIN);
  CHECK(bh_arp_says(&reply, kAllMacs) == BH_SAYS_OTHER);
}

TEST_CASE("ARP of any other kind has nothing to say") {
  for (const uint8_t operation : {0, 3, 4, 8, 9, 255}) {
    const bh_arp arp = Arp(operation);
    CHECK(bh_arp_says(&arp, kOwnMac) == BH_SAYS_OTHER);
  }
  for (const size_t byte : {0, 1, 2, 3, 4, 5, 6}) {
    bh_arp arp = Arp(1);
    reinterpret_cast<uint8_t*>(&arp)[byte] ^= 0x10;
    CHECK(bh_arp_says(&arp, kOwnMac) == BH_SAYS_OTHER);
  }
}

TEST_CASE("a solicitation goes to the group of its target, or to the target") {
  const bh_discovery asks = Discovery(BH_SOLICITS_NEIGHBOUR);
  CHECK(Says(asks, 32, kSolicited) == BH_SAYS_ASKS);
  CHECK(Says(asks, 32, kTarget) == BH_SAYS_ASKS);
  CHECK(Says(asks, 24, kSolicited) == BH_SAYS_ASKS);
  CHECK(Says(asks, 32, kAllNodes) == BH_SAYS_OTHER);
  CHECK(Says(asks, 32, kAsker) == BH_SAYS_OTHER);
  for (size_t byte = 0; byte < kSolicited.size(); ++byte) {
    Address other = kSolicited;
    other[byte] ^= 1;
    CHECK(Says(asks, 32, other) == BH_SAYS_OTHER);
  }
}

TEST_CASE("an advertisement answers, and is not for all") {
  const bh_discovery answers = Discovery(BH_ADVERTISES_NEIGHBOUR);
  CHECK(Says(answers, 32, kAsker) == BH_SAYS_ANSWERS);
  CHECK(Says(answers, 24, kAsker) == BH_SAYS_ANSWERS);
  CHECK(Says(answers, 32, kAllNodes) == BH_SAYS_OTHER);
  bh_discovery announces = answers;
  announces.flags = 0x20;
  CHECK(Says(announces, 32, kAsker) == BH_SAYS_OTHER);
  for (const uint8_t flag : {0x80, 0x20}) {
    bh_discovery more = answers;
    more.flags |= flag;
    CHECK(Says(more, 32, kAsker) == BH_SAYS_ANSWERS);
  }
}

TEST_CASE("a router solicitation has room for the interface's address only") {
  bh_discovery asks{};
  asks.type = BH_SOLICITS_ROUTER;
  CHECK(Says(asks, 8, kAllRouters) == BH_SAYS_PLAIN);
  CHECK(Says(asks, 16, kAllRouters) == BH_SAYS_OTHER);
  asks.target[0] = BH_OPTION_SOURCE;
  asks.target[1] = 1;
  std::memcpy(asks.target + 2, kOwnMac, sizeof(kOwnMac));
  CHECK(Says(asks, 16, kAllRouters) == BH_SAYS_PLAIN);
  CHECK(Says(asks, 16, kAllNodes) == BH_SAYS_OTHER);
  CHECK(Says(asks, 24, kAllRouters) == BH_SAYS_OTHER);
  asks.flags = 1;
  CHECK(Says(asks, 16, kAllRouters) == BH_SAYS_OTHER);
}

TEST_CASE("no byte that the kernel would not write so passes") {
  for (const uint8_t type : {BH_SOLICITS_NEIGHBOUR, BH_ADVERTISES_NEIGHBOUR}) {
    const Address& to = type == BH_SOLICITS_NEIGHBOUR ? kSolicited : kAsker;
    for (size_t byte = 0; byte < sizeof(bh_discovery); ++byte) {
      const bool free = (byte >= 2 && byte < 4) || (byte >= 8 && byte < 24);  // checksum; target, judged by who it is
      bh_discovery message = Discovery(type);
      reinterpret_cast<uint8_t*>(&message)[byte] ^= 1;
      INFO(int{type} << " byte " << byte);
      if (!free) CHECK(Says(message, 32, to) == BH_SAYS_OTHER);
    }
  }
  for (const uint32_t bytes : {0, 8, 16, 23, 25, 31, 33, 40, 1280}) {
    CHECK(Says(Discovery(BH_SOLICITS_NEIGHBOUR), bytes, kSolicited) == BH_SAYS_OTHER);
  }
  for (const uint8_t type : {134, 137, 128, 143}) CHECK(Says(Discovery(type), 32, kTarget) == BH_SAYS_OTHER);
}

TEST_CASE("only who is near, in a rule, or heard behind containment, is asked for") {
  for (const uint8_t wall : {BH_CONTAIN, BH_ISOLATE}) {
    for (const bh_resolution says : {BH_SAYS_ASKS, BH_SAYS_ANSWERS}) {
      CHECK(bh_resolution_passes(says, wall, BH_KNOWN_NEAR) == 1);
      CHECK(bh_resolution_passes(says, wall, 0) == 0);
      CHECK(bh_resolution_passes(says, wall, BH_KNOWN_RULE) == (wall == BH_ISOLATE));
      CHECK(bh_resolution_passes(says, wall, BH_KNOWN_HEARD) == (wall == BH_CONTAIN));
    }
    CHECK(bh_resolution_passes(BH_SAYS_PLAIN, wall, 0) == 1);
    CHECK(bh_resolution_passes(BH_SAYS_OTHER, wall, BH_KNOWN_NEAR) == 0);
  }
}

}  // namespace
