// Datagrams: UDP and UDP-Lite, from sockets made before and after the order.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

class DatagramProbe : public Probe {
 public:
  enum class Opened { kUnderTheOrder, kBefore, kBeforeAndConnected };
  struct Way {
    std::string peer = kPeer4;
    Opened opened = Opened::kUnderTheOrder;
    int protocol = IPPROTO_UDP;
    uint16_t source_port = 0;  // 0: any
    uint16_t fixed_port = 0;   // 0: the shot's
  };
  explicit DatagramProbe(Way way) : way_(std::move(way)) {}

  absl::Status Prepare(const Shot& shot) override {
    if (way_.opened == Opened::kUnderTheOrder) return absl::OkStatus();
    RETURN_IF_ERROR(Open());
    return way_.opened == Opened::kBeforeAndConnected ? Connect(fd_.get(), Peer(shot)) : absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    if (way_.opened == Opened::kUnderTheOrder) RETURN_IF_ERROR(Open());
    return way_.opened == Opened::kBeforeAndConnected ? Send(fd_.get(), shot.token)
                                                      : SendTo(fd_.get(), shot.token, Peer(shot));
  }

 private:
  Endpoint Peer(const Shot& shot) const {
    return MakeEndpoint(way_.peer, way_.fixed_port ? way_.fixed_port : shot.port);
  }

  absl::Status Open() {
    const int family = MakeEndpoint(way_.peer, 0).get()->sa_family;
    ASSIGN_OR_RETURN(fd_, OpenSocket(family, SOCK_DGRAM, way_.protocol));
    const int on = 1;
    setsockopt(fd_.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
    setsockopt(fd_.get(), SOL_SOCKET, SO_BINDTODEVICE, kInterface, sizeof(kInterface));
    if (way_.source_port == 0) return absl::OkStatus();
    const Endpoint own = MakeEndpoint(kOwnAddress4, way_.source_port);
    if (bind(fd_.get(), own.get(), own.length) != 0) return ErrnoToStatus(errno, "bind");
    return absl::OkStatus();
  }

  const Way way_;
  UniqueFd fd_;
};

// A datagram that no call of the send family makes: the kernel moves the data from a file or a pipe into the socket.
class MovedDatagramProbe : public Probe {
 public:
  enum class Call { kSendfile, kSplice };
  explicit MovedDatagramProbe(Call call) : call_(call) {}

  absl::Status Prepare(const Shot& shot) override {
    ASSIGN_OR_RETURN(socket_, OpenSocket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    return Connect(socket_.get(), MakeEndpoint(kPeer4, shot.port));
  }

  absl::Status Attempt(const Shot& shot) override {
    if (Move(shot.token).ok()) return absl::OkStatus();
    RETURN_IF_ERROR(Connect(socket_.get(), MakeEndpoint(kPeer4, shot.port)));  // the order took its peer away
    return Move(shot.token);
  }

 private:
  absl::Status Move(const std::string& data) { return call_ == Call::kSendfile ? Sendfile(data) : Splice(data); }

  absl::Status Sendfile(const std::string& data) {
    UniqueFd file(memfd_create("lk", MFD_CLOEXEC));
    if (!file.valid() || pwrite(file.get(), data.data(), data.size(), 0) < 0) return ErrnoToStatus(errno, "a memfd");
    if (sendfile(socket_.get(), file.get(), nullptr, data.size()) < 0) return ErrnoToStatus(errno, "sendfile");
    return absl::OkStatus();
  }

  absl::Status Splice(const std::string& data) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "pipe2");
    const UniqueFd out(ends[0]), in(ends[1]);
    if (write(in.get(), data.data(), data.size()) < 0) return ErrnoToStatus(errno, "write to a pipe");
    if (splice(out.get(), nullptr, socket_.get(), nullptr, data.size(), 0) < 0) return ErrnoToStatus(errno, "splice");
    return absl::OkStatus();
  }

  const Call call_;
  UniqueFd socket_;
};

ProbeFactory Moved(MovedDatagramProbe::Call call) {
  return [call] { return std::make_unique<MovedDatagramProbe>(call); };
}

ProbeFactory Datagram(DatagramProbe::Way way) {
  return [way] { return std::make_unique<DatagramProbe>(way); };
}

}  // namespace

void AddDatagramProbes(ProbeTable& table) {
  using Opened = DatagramProbe::Opened;
  table["udp4"] = Datagram({});
  table["udp6"] = Datagram({.peer = kPeer6});
  table["udp6_link_local"] = Datagram({.peer = kPeerLinkLocal});
  table["udp_source_port_53"] = Datagram({.source_port = 53});
  table["dns_tunnel"] = Datagram({.fixed_port = 53});
  table["udp_to_allowed_port"] = Datagram({.fixed_port = kAllowedPort});
  table["udp_socket_before"] = Datagram({.opened = Opened::kBefore});
  table["udp_connected_before"] = Datagram({.opened = Opened::kBeforeAndConnected});
  table["udp6_connected_before"] = Datagram({.peer = kPeer6, .opened = Opened::kBeforeAndConnected});
  table["udp_sendfile"] = Moved(MovedDatagramProbe::Call::kSendfile);
  table["udp_splice"] = Moved(MovedDatagramProbe::Call::kSplice);
  table["udp_lite"] = Datagram({.protocol = IPPROTO_UDPLITE});
  table["multicast4"] = Datagram({.peer = "239.77.0.1"});
  table["multicast6"] = Datagram({.peer = "ff02::1"});
  table["broadcast"] = Datagram({.peer = kBroadcast4});
}

}  // namespace bulkhead::leak
