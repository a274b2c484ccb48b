// Isolation: both directions are cut but for the rules, which change while it is in force.
#include <errno.h>
#include <netinet/in.h>

#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::kHost4;
using test::kHost6;
using test::kMustComeMillis;
using test::kMustNotComeMillis;
using test::kPeer4;
using test::kPeer6;
using test::Listen;
using test::Receive;
using test::SendTo;

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

// Can the peer open a connection to the host's port?
bool PeerReaches(const NetFixture& f, const std::string& host_ip, uint16_t port) {
  const test::Address address = At(host_ip, port);
  const UniqueFd listener = f.host().Socket(address.family(), SOCK_STREAM);
  REQUIRE(Listen(listener, address) == 0);
  const UniqueFd client = f.peer().Socket(address.family(), SOCK_STREAM);
  if (Connect(client, address) != 0) return false;
  const UniqueFd server = test::Accept(listener);
  return server.valid() && NetFixture::Passes(server, client) && NetFixture::Passes(client, server);
}

// Can the host open a connection to the peer's port? `from` 0: any source port.
bool HostReaches(const NetFixture& f, const std::string& peer_ip, uint16_t port, uint16_t from = 0) {
  const test::Address address = At(peer_ip, port);
  const UniqueFd listener = f.peer().Socket(address.family(), SOCK_STREAM);
  REQUIRE(Listen(listener, address) == 0);
  const UniqueFd client = f.host().Socket(address.family(), SOCK_STREAM);
  if (from != 0) REQUIRE(test::Bind(client, At(address.family() == AF_INET ? kHost4 : kHost6, from)) == 0);
  if (Connect(client, address) != 0) return false;
  const UniqueFd server = test::Accept(listener);
  return server.valid() && NetFixture::Passes(server, client) && NetFixture::Passes(client, server);
}

TEST_CASE_METHOD(NetFixture, "isolation cuts both directions of both families", "[isolate]") {
  const uint64_t in_before = Counted("drop_ingress_no_rule");
  const uint64_t out_before = Counted("drop_egress_no_rule");
  const Connection in = Inbound(false, 8100);
  const Connection out = Outbound(true, 8101);
  Apply({Isolation()});
  for (const bool v6 : {false, true}) {
    CHECK_FALSE(PeerReaches(*this, v6 ? kHost6 : kHost4, 8000));
    CHECK_FALSE(HostReaches(*this, v6 ? kPeer6 : kPeer4, 8001));
    const UniqueFd host_udp = Udp(host(), v6 ? kHost6 : kHost4, 8002);
    const UniqueFd peer_udp = Udp(peer(), v6 ? kPeer6 : kPeer4, 8003);
    CHECK(SendTo(peer_udp, "in", At(v6 ? kHost6 : kHost4, 8002)) == 0);
    CHECK(Receive(host_udp, kMustNotComeMillis).empty());
    CHECK(SendTo(host_udp, "out", At(v6 ? kPeer6 : kPeer4, 8003)) == EPERM);
  }
  CHECK_FALSE(Passes(in.server, in.client));
  CHECK_FALSE(Passes(out.client, out.server));
  const ObservedState observed = Observe();
  CHECK(observed.isolated);
  CHECK(CounterOf(observed, "drop_ingress_no_rule") > in_before);
  CHECK(CounterOf(observed, "drop_egress_no_rule") > out_before);
  if (Has("sock_destroy")) CHECK(observed.receipt.sockets_destroyed == 2);
  Apply({});
  CHECK(PeerReaches(*this, kHost6, 8000));
}

TEST_CASE_METHOD(NetFixture, "rules open exactly what they say, live while isolated", "[isolate]") {
  Apply({Isolation()});
  CHECK_FALSE(PeerReaches(*this, kHost4, 22));
  Apply({Isolation()}, {Rule("192.0.2.0/24", 20, 25, kTcp, Direction::kInbound)});
  CHECK(PeerReaches(*this, kHost4, 22));
  CHECK_FALSE(PeerReaches(*this, kHost4, 26));
  CHECK_FALSE(PeerReaches(*this, kHost6, 22));
  CHECK_FALSE(HostReaches(*this, kPeer4, 22));
  Apply({Isolation()}, {Rule("2001:db8::2", 0, 0, 0, Direction::kAny)});
  CHECK(PeerReaches(*this, kHost6, 22));
  CHECK(HostReaches(*this, kPeer6, 9999));
  CHECK_FALSE(PeerReaches(*this, kHost4, 22));
  Apply({Isolation()}, {Rule("", 443, 443, 0, Direction::kOutbound)});
  CHECK(HostReaches(*this, kPeer4, 443));
  CHECK(HostReaches(*this, kPeer6, 443));
  CHECK_FALSE(HostReaches(*this, kPeer4, 444));
  CHECK_FALSE(PeerReaches(*this, kHost4, 443));
}

TEST_CASE_METHOD(NetFixture, "a connection that a rule allows survives isolation ordered later", "[isolate]") {
  const Connection in = Inbound(false, 8200);
  const Connection out = Outbound(false, 8201);
  Apply({Isolation()}, {Rule("", 8200, 8200, kTcp, Direction::kInbound)});
  CHECK(Passes(in.client, in.server));
  CHECK(Passes(in.server, in.client));
  CHECK_FALSE(Passes(out.client, out.server));
  Apply({Isolation()});
  CHECK_FALSE(Passes(in.server, in.client));
}

TEST_CASE_METHOD(NetFixture, "source ports open nothing", "[isolate]") {
  Apply({Isolation()}, {Rule("", 22, 22, kTcp, Direction::kInbound), Rule("", 53, 53, kUdp, Direction::kInbound)});
  CHECK_FALSE(HostReaches(*this, kPeer4, 7000, 22));
  const UniqueFd sink = Udp(peer(), kPeer4, 7001);
  const UniqueFd from53 = Udp(host(), kHost4, 53);
  CHECK(SendTo(from53, "exfil", At(kPeer4, 7001)) == EPERM);
  CHECK(Receive(sink, kMustNotComeMillis).empty());
  Apply({Isolation()}, {Rule("", 443, 443, kTcp, Direction::kOutbound), Rule("", 53, 53, kUdp, Direction::kOutbound)});
  const UniqueFd peer53 = Udp(peer(), kPeer4, 53);
  const UniqueFd host_udp = Udp(host(), kHost4, 7002);
  CHECK(SendTo(peer53, "spoof", At(kHost4, 7002)) == 0);
  CHECK(Receive(host_udp, kMustNotComeMillis).empty());
}

TEST_CASE_METHOD(NetFixture, "datagram rules let the replies back and no other flow", "[isolate]") {
  const UniqueFd server = Udp(peer(), kPeer4, 53);
  const UniqueFd stranger = Udp(peer(), kPeer4, 54);
  const UniqueFd client = Udp(host(), kHost4, 7100);
  Apply({Isolation()}, {Rule(kPeer4, 53, 53, kUdp, Direction::kOutbound)});
  REQUIRE(SendTo(client, "question", At(kPeer4, 53)) == 0);
  CHECK(Receive(server, kMustComeMillis) == "question");
  REQUIRE(SendTo(server, "answer", At(kHost4, 7100)) == 0);
  CHECK(Receive(client, kMustComeMillis) == "answer");
  REQUIRE(SendTo(stranger, "other", At(kHost4, 7100)) == 0);
  CHECK(Receive(client, kMustNotComeMillis).empty());

  const UniqueFd service = Udp(host(), kHost4, 161);
  Apply({Isolation()}, {Rule(kPeer4, 161, 161, kUdp, Direction::kInbound)});
  CHECK(SendTo(service, "first", At(kPeer4, 53)) == EPERM);
  REQUIRE(SendTo(server, "question", At(kHost4, 161)) == 0);
  CHECK(Receive(service, kMustComeMillis) == "question");
  REQUIRE(SendTo(service, "answer", At(kPeer4, 53)) == 0);
  CHECK(Receive(server, kMustComeMillis) == "answer");
  Apply({Isolation()});
  CHECK(SendTo(service, "late", At(kPeer4, 53)) == EPERM);
}

TEST_CASE_METHOD(NetFixture, "many rules of one prefix and many prefixes work", "[isolate]") {
  std::vector<IsolationRule> rules;
  for (int i = 0; i < 2000; ++i) rules.push_back(Rule(kPeer4, 1001 + 2 * i, 1001 + 2 * i, kTcp, Direction::kOutbound));
  for (int i = 0; i < 2000; ++i) {
    rules.push_back(
        Rule("10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".0/24", 80, 80, kTcp, Direction::kAny));
  }
  Apply({Isolation()}, rules);
  CHECK(HostReaches(*this, kPeer4, 3001));
  CHECK_FALSE(HostReaches(*this, kPeer4, 3002));
}

TEST_CASE_METHOD(NetFixture, "contained and isolated at once is isolated", "[isolate]") {
  Apply({Containment(), Isolation()}, {Rule("", 22, 22, kTcp, Direction::kInbound)});
  CHECK(PeerReaches(*this, kHost4, 22));
  CHECK_FALSE(PeerReaches(*this, kHost4, 23));
  CHECK_FALSE(HostReaches(*this, kPeer4, 22));
  const ObservedState observed = Observe();
  CHECK(observed.contained);
  CHECK(observed.isolated);
  CHECK(observed.policies.size() == 2);
}

}  // namespace
}  // namespace bulkhead::sensor
