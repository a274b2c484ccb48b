// Asks rtnetlink through libmnl.
#include "sensor/kernel/interfaces/rtnetlink.h"

#include <errno.h>
#include <sys/socket.h>

#include <array>
#include <memory>

#include "common/errno_status.h"

namespace bulkhead::sensor {
namespace {

// The kernel sends no larger part of a dump to a reader with a small buffer.
constexpr size_t kBufferBytes = 16384;

}  // namespace

absl::Status AskRtnetlink(nlmsghdr* request, const std::string& what, mnl_cb_t take, void* data) {
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC),
                                                                 &mnl_socket_close);
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return ErrnoToStatus(errno, what);
  }
  const bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  std::array<char, kBufferBytes> buffer;
  for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
    const ssize_t bytes = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    more = bytes < 0 ? MNL_CB_ERROR
                     : mnl_cb_run(buffer.data(), static_cast<size_t>(bytes), 0, mnl_socket_get_portid(socket.get()),
                                  take, data);
    if (more == MNL_CB_ERROR) return ErrnoToStatus(errno, what);
    if (!dump) break;
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
