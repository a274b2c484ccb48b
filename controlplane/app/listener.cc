// One thread, poll, accept4.
#include "controlplane/app/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/app/listen_address.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsInARow = 64;
constexpr int kBackOffMillis = 100;
constexpr absl::Duration kComplainEvery = absl::Seconds(10);

absl::StatusOr<uint16_t> PortOf(int socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    return ErrnoToStatus(errno, "getsockname");
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

// The bytes of the address, without the port. An IPv6 client has a /64 to itself, so that is what counts.
std::string AddressOf(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET6) {
    const auto* bytes = reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr);
    return std::string(bytes, 8);
  }
  const auto* bytes = reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in&>(peer).sin_addr);
  return std::string(bytes, 4);
}

std::string TextOf(const sockaddr_storage& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* address = &reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  if (peer.ss_family == AF_INET6) address = &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  inet_ntop(peer.ss_family, address, text.data(), text.size());
  return text.data();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const std::vector<std::string>& addresses,
                                                         const Admission::Limits& limits) {
  std::unique_ptr<Listener> listener(new Listener(limits));
  listener->wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener->wake_.valid()) return ErrnoToStatus(errno, "eventfd");
  for (const std::string& address : addresses) {
    const absl::Status status = listener->Bind(address);
    if (!status.ok()) return Annotate(status, absl::StrCat("listening on ", address));
  }
  return listener;
}

absl::Status Listener::Bind(const std::string& text) {
  ASSIGN_OR_RETURN(const ListenAddress address, ListenAddress::Parse(text));
  UniqueFd socket(::socket(address.socket_address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoToStatus(errno, "socket");
  const int on = 1;
  if (setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
    return ErrnoToStatus(errno, "SO_REUSEADDR");
  // So that 0.0.0.0 and [::] can both be given.
  if (address.socket_address.ss_family == AF_INET6 &&
      setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) {
    return ErrnoToStatus(errno, "IPV6_V6ONLY");
  }
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.socket_address), address.length) != 0) {
    return ErrnoToStatus(errno, "bind");
  }
  if (listen(socket.get(), kBacklog) != 0) return ErrnoToStatus(errno, "listen");
  ASSIGN_OR_RETURN(const uint16_t port, PortOf(socket.get()));
  ports_.push_back(port);
  sockets_.push_back(std::move(socket));
  return absl::OkStatus();
}

void Listener::Start(OnConnection on_connection, OnAdmission on_admission) {
  on_connection_ = std::move(on_connection);
  on_admission_ = std::move(on_admission);
  thread_ = std::thread([this] { Loop(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    // Cannot fail: the counter of an eventfd that is written once does not overflow.
    (void)!write(wake_.get(), &one, sizeof(one));
    thread_.join();
  }
  sockets_.clear();
}

void Listener::Loop() {
  std::vector<pollfd> watched = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  for (const UniqueFd& socket : sockets_) watched.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
  absl::Time next_complaint = absl::InfinitePast();
  while (true) {
    // Too many of late: they wait in the backlog, which costs nothing.
    if (const absl::Duration wait = admission_.Wait(absl::Now()); wait > absl::ZeroDuration()) {
      if (poll(watched.data(), 1, static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1) > 0) return;
      continue;
    }
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) {
      return LogError("listener stops: poll failed", {{"error", strerror(errno)}});
    }
    if (watched[0].revents != 0) return;
    bool exhausted = false;
    for (size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0 && !AcceptSome(watched[i].fd)) exhausted = true;
    }
    if (!exhausted) continue;
    if (absl::Now() >= next_complaint) {
      LogError("cannot accept connections now: out of descriptors or memory; waiting", {{"error", strerror(errno)}});
      next_complaint = absl::Now() + kComplainEvery;
    }
    // Connections wait in the backlog meanwhile. Without this wait the loop would spin.
    if (poll(watched.data(), 1, kBackOffMillis) > 0) return;
  }
}

void Listener::Complain(const sockaddr_storage& peer) {
  if (!complaints_.Take(absl::Now())) return;
  LogWarning("connections refused: one address opens too many",
             {{"address", TextOf(peer)}, {"refused", admission_.TakeRefused(AddressOf(peer))}});
}

bool Listener::AcceptSome(int socket) {
  // Bounded, so that a flood on one socket starves neither the others nor the order to stop.
  for (int i = 0; i < kAcceptsInARow && admission_.Wait(absl::Now()) == absl::ZeroDuration(); ++i) {
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    UniqueFd connection(accept4(socket, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!connection.valid()) {
      const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      // Everything else concerns one connection that is already gone, or says that none is left.
      if (exhausted || errno == EAGAIN || errno == EWOULDBLOCK) return !exhausted;
      continue;
    }
    const bool admitted = admission_.Admit(AddressOf(peer), absl::Now());
    on_admission_(admitted);
    if (!admitted) {
      // With a reset: a client that is told so at once backs off, and no socket of ours lingers.
      const linger now{1, 0};
      setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      Complain(peer);
      continue;
    }
    const int on = 1;
    setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    on_connection_(std::move(connection));
  }
  return true;
}

}  // namespace bulkhead::controlplane
