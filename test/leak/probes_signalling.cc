// Messages of the link's own protocols, with an address in them that root chose: the address is what gets out. Most are
// the kernel's, some root writes.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_format.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/shell_probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

// Joins a group; the kernel reports it to the routers of the link, and once more when the socket ends.
class JoinProbe : public Probe {
 public:
  explicit JoinProbe(int family) : family_(family) {}

  absl::Status Attempt(const Shot& shot) override {
    ASSIGN_OR_RETURN(fd_, OpenSocket(family_, SOCK_DGRAM, IPPROTO_UDP));
    return family_ == AF_INET ? JoinIpv4(shot.port) : JoinIpv6(shot.port);
  }

 private:
  absl::Status JoinIpv4(uint16_t port) {
    ip_mreqn group{};
    const std::string address = absl::StrFormat("239.77.%d.%d", port >> 8, port & 0xff);
    inet_pton(AF_INET, address.c_str(), &group.imr_multiaddr);
    group.imr_ifindex = static_cast<int>(if_nametoindex(kInterface));
    return Join(IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
  }

  absl::Status JoinIpv6(uint16_t port) {
    ipv6_mreq group{};
    inet_pton(AF_INET6, absl::StrFormat("ff15::%x", port).c_str(), &group.ipv6mr_multiaddr);
    group.ipv6mr_interface = if_nametoindex(kInterface);
    return Join(IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof(group));
  }

  absl::Status Join(int level, int option, const void* group, socklen_t bytes) {
    if (setsockopt(fd_.get(), level, option, group, bytes) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "join a group");
  }

  const int family_;
  UniqueFd fd_;
};

ProbeFactory Join(int family) {
  return [family] { return std::make_unique<JoinProbe>(family); };
}

// Has the kernel ask who owns an address.
constexpr char kAskForNeighbour[] = "ip neigh replace 10.77.$(($PORT >> 8)).$(($PORT & 255)) dev $IF use";
constexpr char kForgetNeighbour[] = "ip neigh del 10.77.$(($PORT >> 8)).$(($PORT & 255)) dev $IF";

// Duplicate address detection begins after a random time of up to a second (RFC 4862).
constexpr char kTakeAddress[] = "ip addr add fd77::$(printf %x $PORT)/64 dev $IF; sleep 1";
constexpr char kDropAddress[] = "ip addr del fd77::$(printf %x $PORT)/64 dev $IF";

// What the kernel tells all when an interface gets an Ethernet address, here the one that it has.
constexpr char kAnnounceAddress[] =
    "echo 1 > /proc/sys/net/ipv4/conf/$IF/arp_notify; ip addr add 10.77.$(($PORT >> 8)).$(($PORT & 255))/32 dev $IF; "
    "set -- $(ip -br link show dev $IF); ip link set dev $IF address $3";
constexpr char kForgetAnnouncement[] =
    "ip addr del 10.77.$(($PORT >> 8)).$(($PORT & 255))/32 dev $IF; echo 0 > /proc/sys/net/ipv4/conf/$IF/arp_notify";

// Neighbour discovery that root writes, with the hop limit that proves that no router was on the way.
class DiscoveryProbe : public Probe {
 public:
  using Builder = std::string (*)(const Shot&);
  DiscoveryProbe(std::string to, Builder build) : to_(std::move(to)), build_(build) {}

  absl::Status Attempt(const Shot& shot) override {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenSocket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    constexpr int kHops = 255;
    for (const int option : {IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS}) {
      if (setsockopt(fd.get(), IPPROTO_IPV6, option, &kHops, sizeof(kHops)) != 0) {
        return ErrnoToStatus(errno, "set the hop limit");
      }
    }
    return SendTo(fd.get(), build_(shot), MakeEndpoint(to_, 0));
  }

 private:
  const std::string to_;
  const Builder build_;
};

std::string Discovery(uint8_t type, uint8_t flags, const std::string& target) {
  std::string message(8 + sizeof(in6_addr), '\0');
  message[0] = static_cast<char>(type);
  message[4] = static_cast<char>(flags);
  inet_pton(AF_INET6, target.c_str(), message.data() + 8);
  return message;
}

std::string SolicitWithCargo(const Shot& shot) {
  return Discovery(ND_NEIGHBOR_SOLICIT, 0, kPeer6) + shot.token;
}

std::string AnswerForAnother(const Shot& shot) {
  constexpr uint8_t kSolicited = 0x40;
  return Discovery(ND_NEIGHBOR_ADVERT, kSolicited, absl::StrFormat("fd77::%x", shot.port));
}

ProbeFactory Discovers(const char* to, DiscoveryProbe::Builder build) {
  return [to, build] { return std::make_unique<DiscoveryProbe>(to, build); };
}

}  // namespace

void AddSignallingProbes(ProbeTable& table) {
  table["igmp_join"] = Join(AF_INET);
  table["mld_join"] = Join(AF_INET6);
  table["neighbour_probe"] = Shell({.prepare = "", .attempt = kAskForNeighbour, .clean = kForgetNeighbour});
  table["address_taken"] = Shell({.prepare = "", .attempt = kTakeAddress, .clean = kDropAddress});
  table["address_announced"] = Shell({.prepare = "", .attempt = kAnnounceAddress, .clean = kForgetAnnouncement});
  table["discovery_cargo"] = Discovers("ff02::1", SolicitWithCargo);
  table["discovery_forged_answer"] = Discovers(kPeer6, AnswerForAnother);
}

}  // namespace bulkhead::leak
