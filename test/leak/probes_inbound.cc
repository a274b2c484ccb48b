// Ways in, and what the kernel answers by itself. The peer acts while Attempt waits; rows.json says what it does.
#include <netinet/in.h>

#include <cerrno>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

absl::StatusOr<UniqueFd> Bound(int type, uint16_t port) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(AF_INET6, type, 0));
  const Endpoint any = MakeEndpoint("::", port);
  if (bind(fd.get(), any.get(), any.length) != 0) return ErrnoToStatus(errno, "bind");
  return fd;
}

absl::StatusOr<UniqueFd> Listening(uint16_t port) {
  ASSIGN_OR_RETURN(UniqueFd fd, Bound(SOCK_STREAM, port));
  const timeval limit = {1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (listen(fd.get(), 4) != 0) return ErrnoToStatus(errno, "listen");
  return fd;
}

absl::StatusOr<UniqueFd> Accept(int listener) {
  UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(errno, "accept");
  return fd;
}

// The peer connects under the order.
class ListenerProbe : public Probe {
 public:
  absl::Status Prepare(const Shot& shot) override {
    ASSIGN_OR_RETURN(listener_, Listening(shot.port));
    return absl::OkStatus();
  }
  absl::Status Attempt(const Shot& shot) override {
    ASSIGN_OR_RETURN(UniqueFd connection, Accept(listener_.get()));
    return AwaitToken(connection.get(), shot.token);
  }

 private:
  UniqueFd listener_;
};

// The peer connected before the order; under it, this side talks.
class HeldInboundProbe : public Probe {
 public:
  absl::Status Prepare(const Shot& shot) override {
    ASSIGN_OR_RETURN(UniqueFd listener, Listening(shot.port));
    ASSIGN_OR_RETURN(connection_, Accept(listener.get()));
    return absl::OkStatus();
  }
  absl::Status Attempt(const Shot& shot) override { return Send(connection_.get(), shot.token); }

 private:
  UniqueFd connection_;
};

class DatagramReceiverProbe : public Probe {
 public:
  absl::Status Prepare(const Shot& shot) override {
    ASSIGN_OR_RETURN(fd_, Bound(SOCK_DGRAM, shot.port));
    return absl::OkStatus();
  }
  absl::Status Attempt(const Shot& shot) override { return AwaitToken(fd_.get(), shot.token); }

 private:
  UniqueFd fd_;
};

// The kernel alone answers.
class KernelReplyProbe : public Probe {
 public:
  absl::Status Attempt(const Shot&) override { return absl::OkStatus(); }
};

template <typename P>
ProbeFactory Make() {
  return [] { return std::make_unique<P>(); };
}

}  // namespace

void AddInboundProbes(ProbeTable& table) {
  table["in_tcp"] = Make<ListenerProbe>();
  table["in_tcp_held"] = Make<HeldInboundProbe>();
  table["in_udp"] = Make<DatagramReceiverProbe>();
  table["in_tcp_closed_port"] = Make<KernelReplyProbe>();
  table["in_udp_closed_port"] = Make<KernelReplyProbe>();
  table["in_ping"] = Make<KernelReplyProbe>();
  table["in_ping6"] = Make<KernelReplyProbe>();
}

}  // namespace bulkhead::leak
