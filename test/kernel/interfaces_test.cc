// The interface wall: a host that forwards for a container, which is in another namespace and outside the scope, so
// that only the filters on the interface see it.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <thread>

#include "kernel/fixture.h"
#include "sensor/kernel/interfaces/interface_wall.h"

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

// RFC 5737 and RFC 3849, beside those of the pair.
constexpr char kContainer4[] = "198.51.100.2";
constexpr char kContainer6[] = "2001:db8:1::2";
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

// Runs `act` in the network namespace of a factory: netlink and interface indices belong to the calling thread's.
template <typename Act>
auto InNamespaceOf(const test::SocketFactory& where, Act act) {
  decltype(act()) result;
  std::thread thread([&] {
    const UniqueFd space(open(("/proc/" + std::to_string(where.pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    if (setns(space.get(), CLONE_NEWNET) == 0) result = act();
  });
  thread.join();
  return result;
}

constexpr int kTcxEgress = 47;  // BPF_TCX_EGRESS, newer than Debian 12's headers

// A program that answers every packet alike. Invalid: not loaded.
UniqueFd LoadReturning(bpf_prog_type type, int answer) {
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = answer},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return UniqueFd(bpf_prog_load(type, "bh_test", "GPL", code, std::size(code), nullptr));
}

class RouterFixture : public NetFixture {
 public:
  RouterFixture() : container_(nullptr), outsider_(nullptr, &host()) {
    host().Run("ip link add bhc0 type veth peer name bhc1 && ip link set bhc1 netns " +
               std::to_string(container_.pid()));
    host().Run(
        "ip addr add 198.51.100.1/24 dev bhc0 && ip -6 addr add 2001:db8:1::1/64 nodad dev bhc0 && ip link set bhc0 "
        "up");
    host().Run("echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    container_.Run(
        "ip addr add 198.51.100.2/24 dev bhc1 && ip -6 addr add 2001:db8:1::2/64 nodad dev bhc1 && "
        "ip link set bhc1 up && ip route add default via 198.51.100.1 && ip -6 route add default via 2001:db8:1::1");
    peer().Run("ip route replace 198.51.100.0/24 via 192.0.2.1 && ip -6 route replace 2001:db8:1::/64 via 2001:db8::1");
    auto opened = InNamespaceOf(host(), [this] {
      return std::make_unique<absl::StatusOr<std::unique_ptr<InterfaceWall>>>(
          InterfaceWall::Open(pins(), [] { return std::vector<int>{static_cast<int>(if_nametoindex("bht0"))}; }));
    });
    REQUIRE(opened != nullptr);
    REQUIRE_OK(*opened);
    wall_ = std::move(**opened);
    Maintain();
  }

  ~RouterFixture() {
    Apply({});
    host().Run("tc qdisc del dev bht0 clsact && ip link del bhc0");
  }

  const test::SocketFactory& container() const { return container_; }
  // Outside the scope, but in the host's namespace: what the frame wall lets be.
  const test::SocketFactory& outsider() const { return outsider_; }

  std::vector<std::string> Maintain() {
    return InNamespaceOf(host(), [this] { return wall_->Maintain().value(); });
  }
  Ended ComeFirst() {
    return InNamespaceOf(host(), [this] {
      Ended ended;
      REQUIRE_OK(wall_->ComeFirst(&ended));
      return ended;
    });
  }

  // Can `from` open a connection to `to` at this address, and do both directions pass?
  static bool Reaches(const test::SocketFactory& from, const test::SocketFactory& to, const std::string& ip,
                      uint16_t port) {
    return Opened(from, to, ip, port).has_value();
  }

  static std::optional<Connection> Opened(const test::SocketFactory& from, const test::SocketFactory& to,
                                          const std::string& ip, uint16_t port) {
    const test::Address address = At(ip, port);
    Connection connection;
    connection.listener = to.Socket(address.family(), SOCK_STREAM);
    REQUIRE(test::Listen(connection.listener, address) == 0);
    connection.client = from.Socket(address.family(), SOCK_STREAM);
    if (Connect(connection.client, address) != 0) return std::nullopt;
    connection.server = test::Accept(connection.listener);
    if (!Passes(connection.client, connection.server) || !Passes(connection.server, connection.client))
      return std::nullopt;
    return connection;
  }

  static bool UdpArrives(const test::SocketFactory& from, const test::SocketFactory& to, const std::string& ip,
                         uint16_t port) {
    const test::Address address = At(ip, port);
    const UniqueFd receiver = Udp(to, ip, port);
    const UniqueFd sender = from.Socket(address.family(), SOCK_DGRAM);
    test::SendTo(sender, "x", address);
    return !test::Receive(receiver, kMustNotComeMillis).empty();
  }

 private:
  test::SocketFactory container_;
  test::SocketFactory outsider_;
  std::unique_ptr<InterfaceWall> wall_;
};

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
  CHECK(arrives(ETH_P_ARP));
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

TEST_CASE_METHOD(RouterFixture, "a filter of others that is asked first is taken away, one that is asked later stays",
                 "[interfaces]") {
  const UniqueFd pass = LoadReturning(BPF_PROG_TYPE_SCHED_CLS, TC_ACT_OK);
  REQUIRE(pass.valid());
  const auto add = [this, &pass](uint32_t priority) {
    return InNamespaceOf(host(), [&] {
      bpf_tc_hook hook{};
      hook.sz = sizeof(hook);
      hook.ifindex = static_cast<int>(if_nametoindex("bht0"));
      hook.attach_point = BPF_TC_EGRESS;
      bpf_tc_opts options{};
      options.sz = sizeof(options);
      options.prog_fd = pass.get();
      options.priority = priority;
      return bpf_tc_attach(&hook, &options);
    });
  };
  Apply({Isolation()});
  REQUIRE(add(7) == 0);
  CHECK(ComeFirst().done.empty());
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8500));
  outsider().Run("tc filter show dev bht0 egress | grep -q 'pref 7 '");
  outsider().Run("tc filter del dev bht0 egress pref 7");
  // Of one priority the youngest is asked first.
  REQUIRE(add(1) == 0);
  CHECK(UdpArrives(container(), peer(), kPeer4, 8501));
  CHECK(ComeFirst().done.size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8502));
  CHECK(ComeFirst().done.empty());
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
                                      static_cast<bpf_attach_type>(kTcxEgress), nullptr));
    });
  };
  Apply({Isolation()});
  const UniqueFd tcx = link();
  if (!tcx.valid()) {
    WARN("this kernel has no tcx (Linux 6.6)");
    return;
  }
  CHECK(UdpArrives(container(), peer(), kPeer4, 8600));
  CHECK(ComeFirst().done.size() == 1);
  CHECK_FALSE(UdpArrives(container(), peer(), kPeer4, 8601));
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
