// The few socket calls that every probe makes.
#include "test/leak/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "test/leak/probe.h"

namespace bulkhead::leak {
namespace {

constexpr int kConnectMilliseconds = 500;
constexpr int kReceiveMilliseconds = 1000;

}  // namespace

Endpoint MakeEndpoint(const std::string& address, uint16_t port) {
  Endpoint endpoint;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&endpoint.address);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    endpoint.length = sizeof(*v4);
    return endpoint;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&endpoint.address);
  if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) != 1) abort();
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&v6->sin6_addr))
    v6->sin6_scope_id = if_nametoindex(kInterface);
  endpoint.length = sizeof(*v6);
  return endpoint;
}

absl::StatusOr<UniqueFd> OpenSocket(int family, int type, int protocol) {
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoToStatus(errno, "socket");
  return fd;
}

absl::Status Connect(int fd, const Endpoint& to) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  if (connect(fd, to.get(), to.length) != 0 && errno != EINPROGRESS) return ErrnoToStatus(errno, "connect");
  pollfd waiting = {fd, POLLOUT, 0};
  if (poll(&waiting, 1, kConnectMilliseconds) == 0) return absl::DeadlineExceededError("connect: no answer");
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  fcntl(fd, F_SETFL, flags);
  return error == 0 ? absl::OkStatus() : ErrnoToStatus(error, "connect");
}

absl::Status Send(int fd, const std::string& data) {
  if (send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return ErrnoToStatus(errno, "send");
  return absl::OkStatus();
}

absl::Status SendTo(int fd, const std::string& data, const Endpoint& to) {
  if (sendto(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT, to.get(), to.length) < 0) {
    return ErrnoToStatus(errno, "sendto");
  }
  return absl::OkStatus();
}

absl::Status AwaitToken(int fd, const std::string& token) {
  std::string received;
  pollfd waiting = {fd, POLLIN, 0};
  while (poll(&waiting, 1, kReceiveMilliseconds) > 0) {
    char buffer[2048];
    const ssize_t count = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count <= 0) break;
    received.append(buffer, static_cast<size_t>(count));
    if (received.find(token) != std::string::npos) return absl::OkStatus();
  }
  return absl::DeadlineExceededError("nothing was received");
}

absl::Status Run(const std::string& script) {
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    signal(SIGTERM, SIG_DFL);  // leak_agent ignores it, and timeout(1) ends a hanging command by it
    execlp("bash", "bash", "-ec", script.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) < 0) return ErrnoToStatus(errno, "run bash");
  if (status == 0) return absl::OkStatus();
  const std::string how =
      WIFSIGNALED(status) ? absl::StrCat("by signal ", WTERMSIG(status)) : absl::StrCat("with ", WEXITSTATUS(status));
  return absl::UnknownError(absl::StrCat("bash ended ", how, ": ", script));
}

uint16_t Checksum(const std::string& data) {
  uint32_t sum = 0;
  for (size_t i = 0; i < data.size(); i += 2) {
    sum += static_cast<uint8_t>(data[i]) << 8;
    if (i + 1 < data.size()) sum += static_cast<uint8_t>(data[i + 1]);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

std::string Ipv4UdpPacket(const std::string& payload, uint16_t port, const std::string& source) {
  udphdr udp{};
  udp.source = htons(port);
  udp.dest = htons(port);
  udp.len = htons(static_cast<uint16_t>(sizeof(udp) + payload.size()));  // checksum 0: not computed, allowed over IPv4
  iphdr ip{};
  ip.version = 4;
  ip.ihl = sizeof(ip) / 4;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(static_cast<uint16_t>(sizeof(ip) + sizeof(udp) + payload.size()));
  inet_pton(AF_INET, source.c_str(), &ip.saddr);
  inet_pton(AF_INET, kPeer4, &ip.daddr);
  ip.check = Checksum(std::string(reinterpret_cast<const char*>(&ip), sizeof(ip)));
  std::string packet(reinterpret_cast<const char*>(&ip), sizeof(ip));
  packet.append(reinterpret_cast<const char*>(&udp), sizeof(udp));
  return packet + payload;
}

std::string FrameToPeer(uint16_t ether_type, const std::string& payload) {
  std::string frame(reinterpret_cast<const char*>(kPeerMac), sizeof(kPeerMac));
  frame.append(reinterpret_cast<const char*>(kOwnMac), sizeof(kOwnMac));
  const uint16_t type = htons(ether_type);
  frame.append(reinterpret_cast<const char*>(&type), sizeof(type));
  return frame + payload;
}

}  // namespace bulkhead::leak
