// A host that forwards for a container, which is in another namespace and outside the scope, so that only the filters
// on the interface see what it sends.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/fixture.h"
#include "sensor/kernel/endpoints.h"
#include "sensor/kernel/interfaces/interface_wall.h"
#include "sensor/kernel/interfaces/resolution_lists.h"

namespace bulkhead::sensor {

// RFC 5737 and RFC 3849, beside those of the pair.
inline constexpr char kContainer4[] = "198.51.100.2";
inline constexpr char kContainer6[] = "2001:db8:1::2";
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
    absl::StatusOr<ResolutionLists> lists = ResolutionLists::Open(pins());
    REQUIRE_OK(lists);
    lists_ = *std::move(lists);
    Maintain();
    TakeNeighbours();
    Follow({});
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
  void TakeNeighbours() {
    InNamespaceOf(host(), [this] {
      lists_->TakeNeighbours({});
      return true;
    });
  }
  std::vector<std::string> Follow(const std::vector<bh_endpoint>& control_plane) {
    return InNamespaceOf(host(), [&] { return lists_->Follow(OwnAddresses().value(), control_plane).value(); });
  }
  Ended StandAlone() {
    return InNamespaceOf(host(), [this] {
      Ended ended;
      REQUIRE_OK(wall_->StandAlone(&ended));
      return ended;
    });
  }

  // Does a frame of this type with these bytes arrive at the peer after `act`?
  template <typename Act>
  bool Arrives(uint16_t type, const std::string& bytes, int millis, Act act) const {
    const UniqueFd sniffer = peer().Socket(AF_PACKET, SOCK_DGRAM, htons(type));
    act();
    return ArrivesAt(sniffer, bytes, millis);
  }
  static bool ArrivesAt(const UniqueFd& sniffer, const std::string& bytes, int millis) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(millis);
    while (std::chrono::steady_clock::now() < end) {
      if (test::Receive(sniffer, 50).find(bytes) != std::string::npos) return true;
    }
    return false;
  }

  // Can `from` open a connection to `to` at this address, and do both directions pass?
  static bool Reaches(const test::SocketFactory& from, const test::SocketFactory& to, const std::string& ip,
                      uint16_t port) {
    return Opened(from, to, ip, port).has_value();
  }

  static std::optional<Connection> Opened(const test::SocketFactory& from, const test::SocketFactory& to,
                                          const std::string& ip, uint16_t port) {
    const test::Address address = test::At(ip, port);
    Connection connection;
    connection.listener = to.Socket(address.family(), SOCK_STREAM);
    REQUIRE(test::Listen(connection.listener, address) == 0);
    connection.client = from.Socket(address.family(), SOCK_STREAM);
    if (test::Connect(connection.client, address) != 0) return std::nullopt;
    connection.server = test::Accept(connection.listener);
    if (!Passes(connection.client, connection.server) || !Passes(connection.server, connection.client))
      return std::nullopt;
    return connection;
  }

  static bool UdpArrives(const test::SocketFactory& from, const test::SocketFactory& to, const std::string& ip,
                         uint16_t port) {
    const test::Address address = test::At(ip, port);
    const UniqueFd receiver = Udp(to, ip, port);
    const UniqueFd sender = from.Socket(address.family(), SOCK_DGRAM);
    test::SendTo(sender, "x", address);
    return !test::Receive(receiver, test::kMustNotComeMillis).empty();
  }

 private:
  test::SocketFactory container_;
  test::SocketFactory outsider_;
  std::unique_ptr<InterfaceWall> wall_;
  std::optional<ResolutionLists> lists_;
};

}  // namespace bulkhead::sensor
