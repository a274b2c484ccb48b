// Packet sockets: whole frames, below the IP stack.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

class PacketProbe : public Probe {
 public:
  struct Way {
    bool before = false;           // the socket is older than the order
    bool bypass_queueing = false;  // PACKET_QDISC_BYPASS: past traffic control
    uint16_t ether_type = ETH_P_IP;
  };
  explicit PacketProbe(Way way) : way_(way) {}

  absl::Status Prepare(const Shot&) override { return way_.before ? Open() : absl::OkStatus(); }

  absl::Status Attempt(const Shot& shot) override {
    if (!way_.before) RETURN_IF_ERROR(Open());
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(if_nametoindex(kInterface));
    const bool ip = way_.ether_type == ETH_P_IP;
    const std::string frame =
        FrameToPeer(way_.ether_type, ip ? Ipv4UdpPacket(shot.token, shot.port, kOwnAddress4) : shot.token);
    if (sendto(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)) < 0) {
      return ErrnoToStatus(errno, "sendto");
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Open() {
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_PACKET, SOCK_RAW, 0));
    const int on = 1;
    if (way_.bypass_queueing && setsockopt(fd_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) != 0) {
      return ErrnoToStatus(errno, "PACKET_QDISC_BYPASS");
    }
    return absl::OkStatus();
  }

  const Way way_;
  UniqueFd fd_;
};

ProbeFactory Packet(PacketProbe::Way way) {
  return [way] { return std::make_unique<PacketProbe>(way); };
}

}  // namespace

void AddPacketProbes(ProbeTable& table) {
  table["packet"] = Packet({});
  table["packet_bypass"] = Packet({.bypass_queueing = true});
  table["packet_before"] = Packet({.before = true});
  table["packet_before_bypass"] = Packet({.before = true, .bypass_queueing = true});
  table["packet_unknown_ether_type"] = Packet({.ether_type = 0x88b5});  // IEEE 802 local experimental
}

}  // namespace bulkhead::leak
