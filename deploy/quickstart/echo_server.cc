// What the tour's traffic talks to: TCP and UDP echo on one port.
#include "deploy/quickstart/echo_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace bulkhead::tour {
namespace {

constexpr int kBacklog = 64;
constexpr size_t kMostConnections = 256;

// An IPv6 socket that takes IPv4 too, or -1.
int Listen(int type, int port) {
  const int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int off = 0;
  const int on = 1;
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(static_cast<uint16_t>(port));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) == 0 &&
      (type == SOCK_DGRAM || listen(fd, kBacklog) == 0)) {
    return fd;
  }
  close(fd);
  return -1;
}

void EchoDatagrams(int fd) {
  char data[2048];
  sockaddr_storage from{};
  socklen_t length = sizeof(from);
  ssize_t got = 0;
  while ((got = recvfrom(fd, data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&from), &length)) >= 0) {
    sendto(fd, data, static_cast<size_t>(got), 0, reinterpret_cast<const sockaddr*>(&from), length);
    length = sizeof(from);
  }
}

// False when the connection ended.
bool EchoStream(int fd) {
  char data[2048];
  const ssize_t got = recv(fd, data, sizeof(data), 0);
  return got > 0 && send(fd, data, static_cast<size_t>(got), MSG_NOSIGNAL) == got;
}

}  // namespace

int ServeEcho(int port) {
  std::vector<pollfd> watched = {{Listen(SOCK_STREAM, port), POLLIN, 0}, {Listen(SOCK_DGRAM, port), POLLIN, 0}};
  if (watched[0].fd < 0 || watched[1].fd < 0) {
    perror("listen");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched[1].revents != 0) EchoDatagrams(watched[1].fd);
    for (size_t i = watched.size(); i-- > 2;) {
      if (watched[i].revents == 0 || EchoStream(watched[i].fd)) continue;
      close(watched[i].fd);
      watched.erase(watched.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (watched[0].revents == 0) continue;
    const int accepted = accept4(watched[0].fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) continue;
    if (watched.size() >= kMostConnections) {
      // The oldest gives way: it may be one that a wall cut off and that will never end by itself.
      close(watched[2].fd);
      watched.erase(watched.begin() + 2);
    }
    watched.push_back({accepted, POLLIN, 0});
  }
}

}  // namespace bulkhead::tour
