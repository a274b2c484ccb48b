// SOCK_DESTROY, one request and one answer at a time.
#include "sensor/kernel/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/socket_walker.h"

namespace bulkhead::sensor {
namespace {

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

void SetAddress(const uint8_t* mapped, uint8_t family, uint32_t* words) {
  std::memcpy(words, family == AF_INET ? mapped + 12 : mapped, family == AF_INET ? 4 : 16);
}

Request MakeRequest(const bh_socket& socket) {
  Request request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DESTROY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.body.sdiag_family = socket.family;
  request.body.sdiag_protocol = socket.protocol;
  request.body.idiag_states = ~0U;
  request.body.id.idiag_sport = htons(socket.local_port);
  request.body.id.idiag_dport = htons(socket.remote_port);
  SetAddress(socket.local, socket.family, request.body.id.idiag_src);
  SetAddress(socket.remote, socket.family, request.body.id.idiag_dst);
  request.body.id.idiag_cookie[0] = static_cast<uint32_t>(socket.cookie);
  request.body.id.idiag_cookie[1] = static_cast<uint32_t>(socket.cookie >> 32);
  return request;
}

// 0 or the errno that the kernel answered.
absl::StatusOr<int> Ask(int fd, const Request& request) {
  if (send(fd, &request, sizeof(request), 0) != sizeof(request)) return ErrnoToStatus(errno, "send SOCK_DESTROY");
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } answer{};
  const ssize_t size = recv(fd, &answer, sizeof(answer), 0);
  if (size < 0) return ErrnoToStatus(errno, "receive the answer to SOCK_DESTROY");
  if (static_cast<size_t>(size) < sizeof(nlmsghdr) + sizeof(nlmsgerr) || answer.header.nlmsg_type != NLMSG_ERROR) {
    return absl::InternalError("the kernel's answer to SOCK_DESTROY is no acknowledgement");
  }
  return -answer.error.error;
}

}  // namespace

absl::StatusOr<uint32_t> DestroySockets(const bh_socket* sockets, size_t count) {
  if (count == 0) return 0;
  const UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) return ErrnoToStatus(errno, "open NETLINK_SOCK_DIAG");
  uint32_t destroyed = 0;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const int error, Ask(fd.get(), MakeRequest(sockets[i])));
    if (error == 0) ++destroyed;
    if (error != 0 && error != ENOENT) return ErrnoToStatus(error, "destroy a socket by SOCK_DESTROY");
  }
  return destroyed;
}

absl::Status ProbeSocketDestroy() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), generic, &size) != 0 || connect(client.get(), generic, size) != 0) {
    return ErrnoToStatus(errno, "make a loopback connection to destroy");
  }
  bh_socket target{};
  std::memset(target.local + 10, 0xff, 2);
  std::memset(target.remote + 10, 0xff, 2);
  std::memcpy(target.remote + 12, &address.sin_addr, 4);
  target.remote_port = ntohs(address.sin_port);
  if (getsockname(client.get(), generic, &size) != 0) return ErrnoToStatus(errno, "name a loopback connection");
  std::memcpy(target.local + 12, &address.sin_addr, 4);
  target.local_port = ntohs(address.sin_port);
  target.family = AF_INET;
  target.protocol = IPPROTO_TCP;
  target.cookie = ~0ULL;
  RETURN_IF_ERROR(DestroySockets(&target, 1).status());
  // Nobody has it. The kernel loads the module that answers for UDP now: behind a wall it loads none.
  bh_socket nobody = target;
  nobody.protocol = IPPROTO_UDP;
  RETURN_IF_ERROR(DestroySockets(&nobody, 1).status());
  if (send(client.get(), "x", 1, MSG_NOSIGNAL) < 0 && errno == ECONNABORTED) return absl::OkStatus();
  return absl::FailedPreconditionError("SOCK_DESTROY is answered, but the connection lives on");
}

}  // namespace bulkhead::sensor
