// Connections: TCP in its variants, MPTCP, SCTP.
#include <cerrno>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace bulkhead::leak {
namespace {

// Connects and sends, in one attempt.
class StreamProbe : public Probe {
 public:
  struct Way {
    std::string peer = kPeer4;
    int protocol = IPPROTO_TCP;
    uint16_t source_port = 0;  // 0: any
    uint16_t fixed_port = 0;   // 0: the shot's
  };
  explicit StreamProbe(Way way) : way_(std::move(way)) {}

  absl::Status Attempt(const Shot& shot) override {
    const Endpoint to = MakeEndpoint(way_.peer, way_.fixed_port ? way_.fixed_port : shot.port);
    ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(to.get()->sa_family, SOCK_STREAM, way_.protocol));
    if (way_.source_port != 0) {
      const int on = 1;
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      const Endpoint own = MakeEndpoint(kOwnAddress4, way_.source_port);
      if (bind(fd.get(), own.get(), own.length) != 0) return ErrnoToStatus(errno, "bind");
    }
    RETURN_IF_ERROR(Connect(fd.get(), to));
    return Send(fd.get(), shot.token);
  }

 private:
  const Way way_;
};

// A connection from before the order.
class HeldStreamProbe : public Probe {
 public:
  explicit HeldStreamProbe(std::string peer) : peer_(std::move(peer)) {}

  absl::Status Prepare(const Shot& shot) override {
    const Endpoint to = MakeEndpoint(peer_, shot.port);
    ASSIGN_OR_RETURN(fd_, OpenSocket(to.get()->sa_family, SOCK_STREAM, IPPROTO_TCP));
    return Connect(fd_.get(), to);
  }
  absl::Status Attempt(const Shot& shot) override { return Send(fd_.get(), shot.token); }

 private:
  const std::string peer_;
  UniqueFd fd_;
};

// Data in the SYN. The first connection, before the order, fetches the cookie.
class FastOpenProbe : public Probe {
 public:
  absl::Status Prepare(const Shot& shot) override {
    // 0x5: client and server, also without a cookie, so that the very first SYN carries the data.
    RETURN_IF_ERROR(Run("echo 5 > /proc/sys/net/ipv4/tcp_fastopen"));
    return Fire("warm-up", shot.port);
  }
  absl::Status Attempt(const Shot& shot) override { return Fire(shot.token, shot.port); }

 private:
  static absl::Status Fire(const std::string& data, uint16_t port) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP));
    const Endpoint to = MakeEndpoint(kPeer4, port);
    if (sendto(fd.get(), data.data(), data.size(), MSG_FASTOPEN | MSG_NOSIGNAL, to.get(), to.length) < 0 &&
        errno != EINPROGRESS) {
      return ErrnoToStatus(errno, "sendto with MSG_FASTOPEN");
    }
    return absl::OkStatus();
  }
};

ProbeFactory Stream(StreamProbe::Way way) {
  return [way] { return std::make_unique<StreamProbe>(way); };
}

}  // namespace

void AddStreamProbes(ProbeTable& table) {
  table["allowed_endpoint"] = Stream({.fixed_port = kAllowedPort});
  table["tcp4"] = Stream({});
  table["tcp6"] = Stream({.peer = kPeer6});
  table["tcp6_link_local"] = Stream({.peer = kPeerLinkLocal});
  table["tcp_v4_mapped"] = Stream({.peer = "::ffff:10.77.0.2"});
  table["tcp_source_port_22"] = Stream({.source_port = 22});
  table["control_plane_address"] = Stream({.fixed_port = kControlPlanePort});
  table["mptcp"] = Stream({.protocol = IPPROTO_MPTCP});
  table["sctp"] = Stream({.protocol = IPPROTO_SCTP});
  table["tcp4_held"] = [] { return std::make_unique<HeldStreamProbe>(kPeer4); };
  table["tcp6_held"] = [] { return std::make_unique<HeldStreamProbe>(kPeer6); };
  table["tcp_fast_open"] = [] { return std::make_unique<FastOpenProbe>(); };
}

}  // namespace bulkhead::leak
