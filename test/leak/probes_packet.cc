// Packet sockets: whole frames, below the IP stack.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>

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

// Reads what arrives from a ring in shared memory, without a call.
class PacketRingProbe : public Probe {
 public:
  ~PacketRingProbe() override {
    if (ring_ != MAP_FAILED) munmap(ring_, kRingBytes);
  }

  absl::Status Prepare(const Shot&) override {
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)));
    tpacket_req request{};
    request.tp_block_size = kFrameBytes;
    request.tp_block_nr = request.tp_frame_nr = kFrames;
    request.tp_frame_size = kFrameBytes;
    if (setsockopt(fd_.get(), SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0) {
      return ErrnoToStatus(errno, "PACKET_RX_RING");
    }
    ring_ = mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (ring_ == MAP_FAILED) return ErrnoToStatus(errno, "mmap");
    sockaddr_ll here{};
    here.sll_family = AF_PACKET;
    here.sll_protocol = htons(ETH_P_IP);
    here.sll_ifindex = static_cast<int>(if_nametoindex(kInterface));
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&here), sizeof(here)) != 0) return ErrnoToStatus(errno, "bind");
    return absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    for (int tenth = 0; tenth < 10; ++tenth) {
      if (std::string(static_cast<char*>(ring_), kRingBytes).find(shot.token) != std::string::npos) {
        return absl::OkStatus();
      }
      usleep(100'000);
    }
    return absl::DeadlineExceededError("nothing came into the ring");
  }

 private:
  static constexpr unsigned kFrameBytes = 4096;
  static constexpr unsigned kFrames = 64;
  static constexpr size_t kRingBytes = size_t{kFrameBytes} * kFrames;

  UniqueFd fd_;
  void* ring_ = MAP_FAILED;
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
  table["in_packet_ring"] = [] { return std::make_unique<PacketRingProbe>(); };
  table["packet_unknown_ether_type"] = Packet({.ether_type = 0x88b5});  // IEEE 802 local experimental
}

}  // namespace bulkhead::leak
