// Messages that the kernel itself sends, with an address in them that root chose: the address is what gets out.
#include <arpa/inet.h>
#include <net/if.h>

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

}  // namespace

void AddSignallingProbes(ProbeTable& table) {
  table["igmp_join"] = Join(AF_INET);
  table["mld_join"] = Join(AF_INET6);
  table["neighbour_probe"] = Shell({.prepare = "", .attempt = kAskForNeighbour, .clean = kForgetNeighbour});
  table["address_taken"] = Shell({.prepare = "", .attempt = kTakeAddress, .clean = kDropAddress});
}

}  // namespace bulkhead::leak
