// Address resolution behind a wall: the host finds whom it may talk to, and what root has the kernel ask or writes
// itself stays inside.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <utility>

#include "kernel/router_fixture.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::kHost4;
using test::kHost6;
using test::kPeer4;
using test::kPeer6;

constexpr uint8_t kTcp = 6;
constexpr char kCargo[] = "cargo-of-root";

std::string Bytes(const std::string& ip) {
  char bytes[sizeof(in6_addr)];
  const bool v6 = ip.find(':') != std::string::npos;
  return inet_pton(v6 ? AF_INET6 : AF_INET, ip.c_str(), bytes) == 1 ? std::string(bytes, v6 ? 16 : 4) : std::string();
}

class ResolutionFixture : public RouterFixture {
 public:
  // Has the kernel ask who has this address; root, outside the scope.
  bool Asked(const std::string& ip) const {
    const std::string entry = ip + " dev bht0";
    outsider().Run("ip neigh del " + entry + " 2> /dev/null; true");
    const uint16_t type = ip.find(':') == std::string::npos ? ETH_P_ARP : ETH_P_IPV6;
    return Arrives(type, Bytes(ip), test::kMustNotComeMillis,
                   [&] { outsider().Run("ip neigh replace " + entry + " use"); });
  }

  void ForgetNeighbours() const { outsider().Run("ip neigh flush dev bht0; ip -6 neigh flush dev bht0"); }

  // Writes an ICMPv6 message as the kernel sends those of neighbour discovery.
  void SendDiscovery(const std::string& message, const std::string& to) const {
    const UniqueFd raw = host().Socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    const int hops = 255;
    setsockopt(raw.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops));
    setsockopt(raw.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops));
    test::Address address = At(to, 0);
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_scope_id =
        InNamespaceOf(host(), [] { return if_nametoindex("bht0"); });
    test::SendTo(raw, message, address);
  }

  // Solicitation or advertisement about `target`.
  static std::string Discovery(uint8_t type, const std::string& target, const std::string& more = "") {
    std::string message(8, '\0');
    message[0] = static_cast<char>(type);
    if (type == ND_NEIGHBOR_ADVERT) message[4] = 0x40;  // solicited
    return message + Bytes(target) + more;
  }
};

IsolationRule RuleAbout(const std::string& remote) {
  return Rule(remote, 443, 443, kTcp, Direction::kOutbound);
}

bh_endpoint Endpoint(const std::string& ipv6) {
  bh_endpoint endpoint{};
  inet_pton(AF_INET6, ipv6.c_str(), endpoint.address);
  endpoint.port = 7443;
  return endpoint;
}

TEST_CASE_METHOD(ResolutionFixture, "an isolated host asks only for whom a rule is about", "[interfaces][resolution]") {
  REQUIRE(Asked("192.0.2.77"));
  REQUIRE(Asked("2001:db8::77"));
  Apply({Isolation()}, {RuleAbout("192.0.2.64/28"), RuleAbout("2001:db8::70/124"), RuleAbout("192.0.2.66/32")});
  const uint64_t before = Counted("drop_resolution");
  for (const char* ruled : {"192.0.2.77", "192.0.2.66", "2001:db8::77"}) CHECK(Asked(ruled));
  for (const char* other : {"192.0.2.80", "192.0.2.63", "2001:db8::80"}) CHECK_FALSE(Asked(other));
  CHECK(Counted("drop_resolution") >= before + 3);
}

TEST_CASE_METHOD(ResolutionFixture,
                 "gateways are asked for as they were before the wall, and the way to the control plane",
                 "[interfaces][resolution]") {
  outsider().Run("ip route add 198.18.0.0/16 via 192.0.2.9 && ip -6 route add 2001:db8:9::/64 via 2001:db8::9");
  TakeNeighbours();
  Follow({});
  Apply({Isolation()});
  CHECK(Asked("192.0.2.9"));
  CHECK(Asked("2001:db8::9"));
  outsider().Run("ip route add 198.19.0.0/16 via 192.0.2.10 && ip -6 route add 2001:db8:a::/64 via 2001:db8::a");
  CHECK(Follow({}).empty());
  CHECK_FALSE(Asked("192.0.2.10"));
  CHECK_FALSE(Asked("2001:db8::a"));
  const std::vector<bh_endpoint> control_plane = {Endpoint("::ffff:198.19.0.1"), Endpoint("2001:db8:a::1"),
                                                  Endpoint("::ffff:192.0.2.11")};
  CHECK(Follow(control_plane) == std::vector<std::string>{"the way to the control plane leads through 192.0.2.10 now",
                                                          "the way to the control plane leads through 2001:db8::a now",
                                                          "the way to the control plane leads through 192.0.2.11 now"});
  CHECK(Follow(control_plane).empty());
  for (const char* hop : {"192.0.2.10", "192.0.2.11", "2001:db8::a", "192.0.2.9"}) CHECK(Asked(hop));
  outsider().Run(
      "ip route del 198.18.0.0/16 && ip route del 198.19.0.0/16 && ip -6 route del 2001:db8:9::/64 && "
      "ip -6 route del 2001:db8:a::/64");
}

TEST_CASE_METHOD(ResolutionFixture, "a contained host asks for whom it has heard", "[interfaces][resolution]") {
  Apply({Containment()});
  CHECK_FALSE(Asked("192.0.2.50"));
  CHECK_FALSE(Asked("2001:db8::50"));
  peer().Run("ip addr add 192.0.2.50/24 dev bht1 && ip -6 addr add 2001:db8::50/64 nodad dev bht1");
  for (const auto& [from, to] : {std::pair("192.0.2.50", kHost4), std::pair("2001:db8::50", kHost6)}) {
    test::SendTo(Udp(peer(), from, 8650), "x", At(to, 8650));
  }
  CHECK(Asked("192.0.2.50"));
  CHECK(Asked("2001:db8::50"));
  CHECK_FALSE(Asked("192.0.2.51"));
  peer().Run("ip addr del 192.0.2.50/24 dev bht1 && ip -6 addr del 2001:db8::50/64 dev bht1");
}

TEST_CASE_METHOD(ResolutionFixture, "those who may talk find each other anew behind a wall",
                 "[interfaces][resolution]") {
  const auto talk = [this](const std::string& outside, const std::string& inside, uint16_t port) {
    ForgetNeighbours();
    peer().Run("ip neigh flush dev bht1; ip -6 neigh flush dev bht1");
    CHECK(Reaches(peer(), host(), inside, port));
    ForgetNeighbours();
    CHECK(Reaches(host(), peer(), outside, port) == (port > 8800));
  };
  Apply({Containment()});
  talk(kPeer4, kHost4, 8701);
  talk(kPeer6, kHost6, 8702);
  Apply({Isolation()}, {Rule("192.0.2.0/24", 8801, 8801, kTcp, Direction::kAny),
                        Rule("2001:db8::/64", 8802, 8802, kTcp, Direction::kAny)});
  talk(kPeer4, kHost4, 8801);
  talk(kPeer6, kHost6, 8802);
}

TEST_CASE_METHOD(ResolutionFixture, "nothing is announced behind a wall", "[interfaces][resolution]") {
  constexpr int kDetectionMillis = 2500;  // RFC 4862: a random time of up to a second, and a second for the answer
  const std::string take = "ip -6 addr add 2001:db8::dad/64 dev bht0";
  const std::string announce =
      "echo 1 > /proc/sys/net/ipv4/conf/bht0/arp_notify && ip addr add 192.0.2.99/24 dev bht0 && "
      "ip link set dev bht0 address $(ip -br link show dev bht0 | awk '{print $3}')";
  const auto taken = [&] {
    const bool told = Arrives(ETH_P_IPV6, Bytes("2001:db8::dad"), kDetectionMillis, [&] { outsider().Run(take); });
    outsider().Run("ip -6 addr del 2001:db8::dad/64 dev bht0");
    return told;
  };
  const auto announced = [&] {
    const bool told = Arrives(ETH_P_ARP, Bytes("192.0.2.99"), 1000, [&] { outsider().Run(announce); });
    outsider().Run("ip addr del 192.0.2.99/24 dev bht0");
    return told;
  };
  REQUIRE(taken());
  REQUIRE(announced());
  for (const Policy& wall : {Containment(), Isolation()}) {
    Apply({wall});
    CHECK_FALSE(taken());
    CHECK_FALSE(announced());
  }
}

TEST_CASE_METHOD(ResolutionFixture, "where the sensor cannot tell, the host is not lost", "[interfaces][resolution]") {
  const absl::StatusOr<BpfMap> near = BpfMap::OpenPinned(pins() + "/bh_if_near");
  REQUIRE_OK(near);
  const bh_endpoint nobody{};
  const uint8_t one = 1;
  REQUIRE_OK(near->Update(&nobody, &one));
  for (const Policy& wall : {Containment(), Isolation()}) {
    Apply({wall});
    CHECK(Asked("192.0.2.77"));
    CHECK(Asked("2001:db8::77"));
    const auto send = [&] { SendDiscovery(Discovery(ND_NEIGHBOR_SOLICIT, kPeer6, kCargo), "ff02::1"); };
    CHECK(Arrives(ETH_P_IPV6, kCargo, test::kMustComeMillis, send));
  }
  REQUIRE_OK(near->Delete(&nobody));
}

TEST_CASE_METHOD(ResolutionFixture, "root writes no cargo into neighbour discovery", "[interfaces][resolution]") {
  Apply({});
  REQUIRE(Reaches(host(), peer(), kPeer6, 8600));  // the entry for the peer is there
  const std::string cargo = kCargo;
  const std::string room = cargo + std::string(24 - cargo.size(), '.');
  struct Attempt {
    const char* what;
    std::string message;
    const char* to;
  };
  const Attempt attempts[] = {
      {"a solicitation to all, with more behind it", Discovery(ND_NEIGHBOR_SOLICIT, kPeer6, room), "ff02::1"},
      {"an option that is not this host's", Discovery(ND_NEIGHBOR_SOLICIT, kPeer6, "\x01\x01" + cargo.substr(0, 6)),
       kPeer6},
      {"a target that says something", std::string(1, ND_NEIGHBOR_SOLICIT) + std::string(7, '\0') + room.substr(0, 16),
       kPeer6},
      {"an answer about another host", std::string("\x88\0\0\0\x40\0\0\0", 8) + room.substr(0, 16), kPeer6},
      {"an answer from a router", std::string(1, ND_ROUTER_ADVERT) + std::string(15, '\0') + room, "ff02::1"},
      {"a question for routers, with more behind it", std::string(1, ND_ROUTER_SOLICIT) + std::string(7, '\0') + room,
       "ff02::2"},
  };
  for (const Attempt& attempt : attempts) {
    INFO(attempt.what);
    const std::string bytes = attempt.message.find(cargo) != std::string::npos ? cargo : cargo.substr(0, 6);
    const auto send = [&] { SendDiscovery(attempt.message, attempt.to); };
    Apply({});
    CHECK(Arrives(ETH_P_IPV6, bytes, test::kMustComeMillis, send));
    Apply({Containment()});
    CHECK_FALSE(Arrives(ETH_P_IPV6, bytes, test::kMustNotComeMillis, send));
    Apply({Isolation()}, {RuleAbout("2001:db8::/64")});
    CHECK_FALSE(Arrives(ETH_P_IPV6, bytes, test::kMustNotComeMillis, send));
  }
}

}  // namespace
}  // namespace bulkhead::sensor
