// The interface wall: a host that forwards for a container, which is in another namespace and outside the scope, so
// that only the filters on the interface see it.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>

#include "bulkhead/decide_in_front.h"
#include "kernel/router_fixture.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/interfaces/interface_news.h"
#include "sensor/kernel/interfaces/xdp_programs.h"

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

constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

// A program that answers every packet alike. Invalid: not loaded.
UniqueFd LoadReturning(bpf_prog_type type, int answer) {
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = answer},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return UniqueFd(bpf_prog_load(type, "bh_test", "GPL", code, std::size(code), nullptr));
}

TEST_CASE_METHOD(RouterFixture, "containment cuts what is forwarded, and leaves what others open", "[interfaces]") {
  for (const bool v6 : {false, true}) {
    INFO((v6 ? "IPv6" : "IPv4"));
    const std::string outside = v6 ? kPeer6 : kPeer4, inside = v6 ? kContainer6 : kContainer4;
    Apply({});
    REQUIRE(UdpArrives(container(), peer(), outside, 8000));
    const std::optional<Connection> out = Opened(container(), peer(), outside, 8001);
    const std::optional<Connection> in = Opened(peer(), container(), inside, 8002);
    REQUIRE(out.has_value());
    REQUIRE(in.has_value());
    const uint64_t before = Counted("drop_interface");
    Apply({Containment()});
    CHECK_FALSE(UdpArrives(container(), peer(), outside, 8003));
    CHECK_FALSE(Reaches(container(), peer(), outside, 8004));
    CHECK_FALSE(Passes(out->client, out->server));
    CHECK(Passes(in->server, in->client));
    CHECK(Passes(in->client, in->server));
    CHECK(Reaches(peer(), container(), inside, 8005));
    CHECK(Counted("drop_interface") > before);
  }
}

TEST_CASE_METHOD(RouterFixture, "isolation asks the rules about what is forwarded", "[interfaces]") {
  Apply({Isolation()});
  CHECK_FALSE(Reaches(container(), peer(), kPeer4, 8100));
  CHECK_FALSE(Reaches(peer(), container(), kContainer4, 8101));
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer6, 8102));
  Apply({Isolation()}, {Rule("192.0.2.0/24", 8103, 8103, kTcp, Direction::kOutbound),
                        Rule("192.0.2.0/24", 8104, 8104, kTcp, Direction::kInbound),
                        Rule("2001:db8::/64", 8105, 8105, kUdp, Direction::kOutbound)});
  CHECK(Reaches(container(), peer(), kPeer4, 8103));
  CHECK(Reaches(peer(), container(), kContainer4, 8104));
  CHECK(UdpArrives(container(), peer(), kPeer6, 8105));
  CHECK_FALSE(Reaches(container(), peer(), kPeer4, 8104));
  CHECK_FALSE(Reaches(peer(), container(), kContainer4, 8103));
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8105));
}

TEST_CASE_METHOD(RouterFixture, "what the scope's own sockets may send passes the interface too", "[interfaces]") {
  const Connection in = Inbound(true, 8200);
  Apply({Containment()});
  CHECK(Passes(in.server, in.client));
  CHECK(Reaches(peer(), host(), kHost4, 8201));
  CHECK(Reaches(peer(), host(), kHost6, 8202));
  Apply({Isolation()}, {Rule("192.0.2.0/24", 8203, 8203, kTcp, Direction::kAny),
                        Rule("2001:db8::/64", 8204, 8204, kUdp, Direction::kAny)});
  CHECK(Reaches(host(), peer(), kPeer4, 8203));
  CHECK(Reaches(peer(), host(), kHost4, 8203));
  CHECK(UdpArrives(host(), peer(), kPeer6, 8204));
  CHECK(UdpArrives(peer(), host(), kHost6, 8204));
}

TEST_CASE_METHOD(RouterFixture, "a translated connection is judged by where it goes", "[interfaces]") {
  host().Run(
      "nft 'table ip bhnat { chain pre { type nat hook prerouting priority -100; "
      "ip daddr 203.0.113.9 tcp dport 443 dnat to 192.0.2.2:8300; }; }'");
  Apply({Isolation()}, {Rule("203.0.113.9", 443, 443, kTcp, Direction::kOutbound)});
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(test::Listen(listener, At(kPeer4, 8300)) == 0);
  CHECK(Connect(container().Socket(AF_INET, SOCK_STREAM), At("203.0.113.9", 443)) == ETIMEDOUT);
  Apply({});
  CHECK(Connect(container().Socket(AF_INET, SOCK_STREAM), At("203.0.113.9", 443), kMustComeMillis) == 0);
  host().Run("nft delete table ip bhnat");
}

TEST_CASE_METHOD(RouterFixture, "frames that are not IP stay inside", "[interfaces]") {
  const auto arrives = [this](uint16_t type) {
    const UniqueFd receiver = peer().Socket(AF_PACKET, SOCK_DGRAM, htons(type));
    // Outside the scope but in the host's namespace: the frame wall does not see it.
    const UniqueFd sender =
        InNamespaceOf(host(), [] { return UniqueFd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(type);
    to.sll_halen = ETH_ALEN;
    for (int i = 0; i < ETH_ALEN; i++) to.sll_addr[i] = 0xff;
    to.sll_ifindex = InNamespaceOf(host(), [] { return static_cast<int>(if_nametoindex("bht0")); });
    const std::string payload(46, 'x');
    sendto(sender.get(), payload.data(), payload.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
    return !test::Receive(receiver, kMustNotComeMillis).empty();
  };
  CHECK(arrives(0x88b5));
  Apply({Isolation()});
  CHECK_FALSE(arrives(0x88b5));
}

TEST_CASE_METHOD(RouterFixture, "a filter that was taken away comes back", "[interfaces]") {
  Apply({Isolation()});
  CHECK(Maintain().empty());
  outsider().Run("tc filter del dev bht0 egress");
  CHECK(UdpArrives(container(), peer(), kPeer4, 8400));
  CHECK(Maintain().size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8401));
  outsider().Run("tc qdisc del dev bht0 clsact");
  CHECK(Maintain().size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8402));
}

TEST_CASE_METHOD(RouterFixture, "filters of others are taken away, whether asked before the wall or after it",
                 "[interfaces]") {
  const UniqueFd pass = LoadReturning(BPF_PROG_TYPE_SCHED_CLS, TC_ACT_OK);
  REQUIRE(pass.valid());
  const auto add = [this, &pass](bpf_tc_attach_point where, uint32_t priority) {
    return InNamespaceOf(host(), [&] {
      bpf_tc_hook hook{};
      hook.sz = sizeof(hook);
      hook.ifindex = static_cast<int>(if_nametoindex("bht0"));
      hook.attach_point = where;
      hook.parent = where == BPF_TC_CUSTOM ? TC_H_MAKE(1U << 16, 0) : 0;
      bpf_tc_opts options{};
      options.sz = sizeof(options);
      options.prog_fd = pass.get();
      options.priority = priority;
      return bpf_tc_attach(&hook, &options);
    });
  };
  Apply({Isolation()});
  CHECK(StandAlone().done.empty());
  // Of one priority the youngest is asked first.
  REQUIRE(add(BPF_TC_EGRESS, 1) == 0);
  CHECK(UdpArrives(container(), peer(), kPeer4, 8500));
  CHECK(StandAlone().done.size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8501));
  for (const bpf_tc_attach_point where : {BPF_TC_EGRESS, BPF_TC_INGRESS}) {
    REQUIRE(add(where, 7) == 0);
    CHECK(StandAlone().done.size() == 1);
    CHECK(StandAlone().done.empty());
    CHECK(Maintain().empty());
  }
  outsider().Run("tc qdisc replace dev bht0 root handle 1: prio 2> /dev/null || true");
  if (add(BPF_TC_CUSTOM, 7) != 0) {
    WARN("this kernel has no discipline with classes");
    return;
  }
  CHECK(StandAlone().done.size() == 1);
  CHECK(StandAlone().done.empty());
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8502));
}

TEST_CASE_METHOD(RouterFixture, "XDP programs are detached, whether attached by netlink or by a link", "[interfaces]") {
  const UniqueFd pass = LoadReturning(BPF_PROG_TYPE_XDP, XDP_PASS);
  REQUIRE(pass.valid());
  const auto attached = [this] {
    return InNamespaceOf(host(), [] {
      uint32_t id = 0;
      bpf_xdp_query_id(static_cast<int>(if_nametoindex("bhc0")), 0, &id);
      return id;
    });
  };
  const auto detach = [this] {
    return InNamespaceOf(host(), [] {
      Ended ended;
      DetachXdp(&ended);
      return ended;
    });
  };
  CHECK(detach().done.empty());
  const int error = InNamespaceOf(host(), [&pass] {
    return bpf_xdp_attach(static_cast<int>(if_nametoindex("bhc0")), pass.get(), XDP_FLAGS_SKB_MODE, nullptr);
  });
  REQUIRE(error == 0);
  CHECK(attached() != 0);
  CHECK(detach().done.size() == 1);
  CHECK(attached() == 0);

  const UniqueFd link = InNamespaceOf(host(), [&pass] {
    return UniqueFd(bpf_link_create(pass.get(), static_cast<int>(if_nametoindex("bhc0")), BPF_XDP, nullptr));
  });
  REQUIRE(link.valid());
  CHECK(attached() != 0);
  CHECK(detach().done.size() == 1);
  CHECK(attached() == 0);
}

TEST_CASE_METHOD(RouterFixture, "a tcx program is detached: the kernel asks it before any filter", "[interfaces]") {
  const UniqueFd pass = LoadReturning(BPF_PROG_TYPE_SCHED_CLS, TC_ACT_OK);
  REQUIRE(pass.valid());
  const auto link = [this, &pass] {
    return InNamespaceOf(host(), [&pass] {
      return UniqueFd(bpf_link_create(pass.get(), static_cast<int>(if_nametoindex("bht0")),
                                      static_cast<bpf_attach_type>(BH_ATTACH_TCX_EGRESS), nullptr));
    });
  };
  Apply({Isolation()});
  const UniqueFd tcx = link();
  if (!tcx.valid()) {
    WARN("this kernel has no tcx (Linux 6.6)");
    return;
  }
  CHECK(UdpArrives(container(), peer(), kPeer4, 8600));
  CHECK(StandAlone().done.size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8601));
}

// ---- Connections that this host pretends to receive ----

constexpr uint16_t kServed = 8700;     // this host listens there
constexpr uint16_t kPretended = 8701;  // of the peer, who never sent anything

uint16_t TcpChecksum(const std::string& segment) {
  std::string data = segment;
  for (const char* address : {kPeer4, kHost4}) {
    in_addr bytes{};
    inet_pton(AF_INET, address, &bytes);
    data.append(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  }
  data += std::string("\0\x06\0", 3) + static_cast<char>(segment.size());
  uint32_t sum = 0;
  for (size_t i = 0; i < data.size(); i += 2) {
    sum += static_cast<uint8_t>(data[i]) << 8 | static_cast<uint8_t>(data[i + 1]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

// From the peer to this host, as if it had come from outside: written to loopback by this host itself.
void PretendToReceive(const test::SocketFactory& host, uint32_t sequence, uint32_t acknowledged) {
  tcphdr tcp{};
  tcp.source = htons(kPretended);
  tcp.dest = htons(kServed);
  tcp.seq = htonl(sequence);
  tcp.ack_seq = htonl(acknowledged);
  tcp.doff = sizeof(tcp) / 4;
  tcp.syn = acknowledged == 0;
  tcp.ack = acknowledged != 0;
  tcp.window = htons(1024);
  tcp.check = TcpChecksum(std::string(reinterpret_cast<const char*>(&tcp), sizeof(tcp)));
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof(ip) / 4;
  ip.ttl = 64;
  ip.protocol = IPPROTO_TCP;
  inet_pton(AF_INET, kPeer4, &ip.saddr);
  inet_pton(AF_INET, kHost4, &ip.daddr);
  const UniqueFd raw = host.Socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  test::SendTo(raw,
               std::string(reinterpret_cast<const char*>(&ip), sizeof(ip)) +
                   std::string(reinterpret_cast<const char*>(&tcp), sizeof(tcp)),
               At(kHost4, 0));
}

// The ports of a segment from this host to the peer, as on the wire.
std::string AnswersPorts() {
  const uint16_t ports[] = {htons(kServed), htons(kPretended)};
  return std::string(reinterpret_cast<const char*>(ports), sizeof(ports));
}

// The sequence number of the first such segment that arrives; 0: none does.
uint32_t AnswersSequence(const UniqueFd& sniffer) {
  for (int i = 0; i < 20; ++i) {
    const std::string packet = test::Receive(sniffer, 100);
    const size_t at = packet.find(AnswersPorts());
    if (at == std::string::npos || packet.size() < at + sizeof(tcphdr)) continue;
    uint32_t sequence;
    std::memcpy(&sequence, packet.data() + at + 4, sizeof(sequence));
    return ntohl(sequence);
  }
  return 0;
}

TEST_CASE_METHOD(RouterFixture, "a connection that this host pretends to receive is not answered", "[interfaces]") {
  const UniqueFd listener = host().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(test::Listen(listener, At(kHost4, kServed)) == 0);
  const auto answered = [this] {
    return Arrives(ETH_P_IP, AnswersPorts(), test::kMustNotComeMillis, [this] { PretendToReceive(host(), 1000, 0); });
  };
  REQUIRE(answered());
  Apply({Containment()});
  CHECK_FALSE(answered());
  CHECK(Reaches(peer(), host(), kHost4, 8702));
  Apply({Isolation()}, {Rule("", kServed, kServed, kTcp, Direction::kInbound)});
  CHECK_FALSE(answered());
  const UniqueFd client = peer().Socket(AF_INET, SOCK_STREAM);
  CHECK(Connect(client, At(kHost4, kServed)) == 0);
}

TEST_CASE_METHOD(RouterFixture, "nor does it carry anything when its handshake was pretended too", "[interfaces]") {
  absl::StatusOr<BpfMap> facts = BpfMap::OpenPinned(pins() + "/bh_host");
  REQUIRE_OK(facts);
  const uint32_t zero = 0;
  bh_host host_facts = facts->Get<bh_host>(zero).value();
  host_facts.arrivals = 1;
  REQUIRE_OK(facts->Update(&zero, &host_facts));
  peer().Run("nft 'table ip bhrst { chain out { type filter hook output priority 0; tcp flags rst drop; }; }'");
  const UniqueFd listener = host().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(test::Listen(listener, At(kHost4, kServed)) == 0);
  const UniqueFd sniffer = peer().Socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
  PretendToReceive(host(), 1000, 0);
  const uint32_t sequence = AnswersSequence(sniffer);
  REQUIRE(sequence != 0);
  PretendToReceive(host(), 1001, sequence + 1);
  const UniqueFd served = test::Accept(listener);
  REQUIRE(served.valid());
  const auto says = [&](const std::string& words) {
    test::Send(served, words);
    return ArrivesAt(sniffer, words, test::kMustNotComeMillis);
  };
  CHECK(says("said without a wall"));
  Apply({Containment()});
  CHECK_FALSE(says("said behind containment"));
  Apply({Isolation()}, {Rule("", kServed, kServed, kTcp, Direction::kInbound)});
  CHECK_FALSE(says("said behind isolation"));
  peer().Run("nft delete table ip bhrst");
  host_facts.arrivals = 0;
  REQUIRE_OK(facts->Update(&zero, &host_facts));
}

TEST_CASE_METHOD(RouterFixture, "a new interface is news at once", "[interfaces]") {
  const absl::StatusOr<InterfaceNews> news = std::move(
      *InNamespaceOf(host(), [] { return std::make_unique<absl::StatusOr<InterfaceNews>>(InterfaceNews::Open()); }));
  REQUIRE_OK(news);
  const auto told = [&news] {
    pollfd waiting = {news->fd(), POLLIN, 0};
    return poll(&waiting, 1, test::kMustNotComeMillis) == 1;
  };
  news->Drain();
  CHECK_FALSE(told());
  outsider().Run("ip link add bhx0 type veth peer name bhx1");
  CHECK(told());
  news->Drain();
  CHECK_FALSE(told());
  outsider().Run("ip link del bhx0");
}

TEST_CASE_METHOD(RouterFixture, "behind a wall nobody inside puts anything before it, or moves what it guards",
                 "[interfaces]") {
  const std::vector<Mechanism>& mechanisms = datapath().capabilities().mechanisms;
  if (std::none_of(mechanisms.begin(), mechanisms.end(),
                   [](const Mechanism& m) { return m.available && m.name.rfind("frames_", 0) == 0; })) {
    WARN("this kernel has neither BPF LSM nor fmod_ret: what is put there is found and taken away");
    return;
  }
  const std::string forbidden[] = {"tc qdisc del dev bht0 clsact", "tc filter del dev bht0 egress",
                                   "ip link set dev bhc0 xdpgeneric off"};
  Apply({Isolation()});
  for (const std::string& command : forbidden) {
    INFO(command);
    CHECK_THROWS(host().Run(command));
  }
  // Two requests in one message, the harmless one first.
  CHECK_THROWS(host().Run("printf 'link set bhc0 mtu 1400\nlink set bhc0 xdpgeneric off\n' | ip -batch -"));
  host().Run("ip link set dev bhc0 mtu 1400 && ip link add bhx0 type veth peer name bhx1 && ip link del bhx0");
  outsider().Run("ip link set dev bhc0 xdpgeneric off");
  CHECK(Counted("frames_denied_in_front") >= std::size(forbidden));
  Apply({});
  host().Run("tc qdisc del dev bht0 clsact && tc qdisc add dev bht0 clsact");
}

}  // namespace
}  // namespace bulkhead::sensor
