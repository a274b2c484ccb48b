// One attempt at something that Bulkhead may cut: a packet, a connection, an execution.
#include "deploy/quickstart/attempt.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

namespace bulkhead::tour {
namespace {

// A socket that is closed at the end of an attempt.
struct Socket {
  explicit Socket(int opened) : fd(opened) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd;
};

std::string ErrorName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

Outcome Failed(double began, const std::string& detail) {
  return {false, detail, NowMillis() - began};
}
Outcome Open(double began) {
  return {true, "", NowMillis() - began};
}

// True when `fd` becomes ready in time.
bool WaitFor(int fd, short events, int timeout_millis) {
  pollfd waiting{fd, events, 0};
  return poll(&waiting, 1, timeout_millis) == 1;
}

uint16_t InternetChecksum(const uint8_t* data, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += static_cast<uint32_t>(data[i] << 8 | data[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

// Reads packets until one is the reply to our request; a raw socket sees those of everybody.
bool AwaitReply(int fd, int family, uint16_t id, int timeout_millis) {
  const double until = NowMillis() + timeout_millis;
  for (double left = timeout_millis; left > 0; left = until - NowMillis()) {
    if (!WaitFor(fd, POLLIN, static_cast<int>(left) + 1)) return false;
    uint8_t packet[512];
    const ssize_t got = recv(fd, packet, sizeof(packet), 0);
    if (got < 0) continue;
    // IPv4 raw sockets deliver the IP header too.
    const ssize_t skip = family == AF_INET && got > 0 ? (packet[0] & 0x0f) * 4 : 0;
    if (got < skip + 8) continue;
    const uint8_t* icmp = packet + skip;
    const uint8_t wanted = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
    uint16_t seen = 0;
    memcpy(&seen, icmp + 4, sizeof(seen));
    if (icmp[0] == wanted && seen == id) return true;
  }
  return false;
}

}  // namespace

bool ParseDestination(const std::string& text, int port, Destination* destination) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&destination->address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&destination->address);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    destination->length = sizeof(*v4);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    destination->length = sizeof(*v6);
  } else {
    return false;
  }
  destination->family = destination->address.ss_family;
  return true;
}

double NowMillis() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

int ConnectTcp(const Destination& to, int timeout_millis) {
  const int fd = socket(to.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int error = 0;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to.address), to.length) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof(error);
      if (!WaitFor(fd, POLLOUT, timeout_millis)) {
        error = ETIMEDOUT;
      } else {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
  }
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

Outcome TryEcho(int socket, int timeout_millis) {
  const double began = NowMillis();
  char byte = 'b';
  if (send(socket, &byte, 1, MSG_NOSIGNAL) != 1) return Failed(began, ErrorName(errno));
  if (!WaitFor(socket, POLLIN, timeout_millis)) return Failed(began, "no answer");
  const ssize_t got = recv(socket, &byte, 1, 0);
  if (got == 0) return Failed(began, "closed");
  return got == 1 ? Open(began) : Failed(began, ErrorName(errno));
}

Outcome TryTcp(const Destination& to, int timeout_millis) {
  const double began = NowMillis();
  const Socket connected(ConnectTcp(to, timeout_millis));
  if (connected.fd < 0) return Failed(began, errno == ETIMEDOUT ? "no answer" : ErrorName(errno));
  const Outcome echo = TryEcho(connected.fd, timeout_millis);
  return echo.open ? Open(began) : Failed(began, echo.detail);
}

Outcome TrySend(int socket, const Destination& to) {
  const double began = NowMillis();
  const char byte = 'b';
  const ssize_t sent =
      sendto(socket, &byte, 1, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to.address), to.length);
  // A full queue and an old ICMP error are not a wall.
  if (sent == 1 || errno == EAGAIN || errno == ENOBUFS || errno == ECONNREFUSED) return Open(began);
  return Failed(began, ErrorName(errno));
}

Outcome TryUdp(const Destination& to, int timeout_millis) {
  const double began = NowMillis();
  const Socket opened(socket(to.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (opened.fd < 0) return Failed(began, ErrorName(errno));
  const Outcome sent = TrySend(opened.fd, to);
  if (!sent.open) return Failed(began, sent.detail);
  return WaitFor(opened.fd, POLLIN, timeout_millis) ? Open(began) : Failed(began, "no answer");
}

Outcome TryIcmp(const Destination& to, int timeout_millis) {
  const double began = NowMillis();
  const bool v4 = to.family == AF_INET;
  const Socket opened(socket(to.family, SOCK_RAW | SOCK_CLOEXEC, v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
  if (opened.fd < 0) return Failed(began, ErrorName(errno));
  const uint16_t id = htons(static_cast<uint16_t>(getpid()));
  uint8_t request[16] = {static_cast<uint8_t>(v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST)};
  memcpy(request + 4, &id, sizeof(id));
  if (v4) {
    // For IPv6 the kernel computes the checksum.
    const uint16_t sum = InternetChecksum(request, sizeof(request));
    memcpy(request + 2, &sum, sizeof(sum));
  }
  Destination portless = to;
  reinterpret_cast<sockaddr_in6*>(&portless.address)->sin6_port = 0;
  if (sendto(opened.fd, request, sizeof(request), 0, reinterpret_cast<const sockaddr*>(&portless.address),
             portless.length) < 0) {
    return Failed(began, ErrorName(errno));
  }
  return AwaitReply(opened.fd, to.family, id, timeout_millis) ? Open(began) : Failed(began, "no answer");
}

Outcome TryExec(const std::string& path) {
  const double began = NowMillis();
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return Failed(began, ErrorName(errno));
  const pid_t child = fork();
  if (child < 0) return Failed(began, ErrorName(errno));
  if (child == 0) {
    execl(path.c_str(), path.c_str(), static_cast<char*>(nullptr));
    const int error = errno;
    _exit(write(report[1], &error, sizeof(error)) == sizeof(error) ? 126 : 127);
  }
  close(report[1]);
  int error = 0;
  const bool refused = read(report[0], &error, sizeof(error)) == static_cast<ssize_t>(sizeof(error));
  close(report[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return Failed(began, std::string("SIG") + sigabbrev_np(WTERMSIG(status)));
  if (refused) return Failed(began, ErrorName(error));
  return WEXITSTATUS(status) == 0 ? Open(began) : Failed(began, "exit " + std::to_string(WEXITSTATUS(status)));
}

}  // namespace bulkhead::tour
