// Listens to rtnetlink's group of links.
#include "sensor/kernel/interfaces/interface_news.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

#include "common/errno_status.h"

namespace bulkhead::sensor {

absl::StatusOr<InterfaceNews> InterfaceNews::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (!fd.valid() || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoToStatus(errno, "listen for new interfaces");
  }
  return InterfaceNews(std::move(fd));
}

void InterfaceNews::Drain() const {
  std::array<char, 4096> message;  // the rest of a longer one is dropped
  // ENOBUFS: messages were lost, and others may follow.
  while (recv(fd_.get(), message.data(), message.size(), 0) >= 0 || errno == ENOBUFS) {
  }
}

}  // namespace bulkhead::sensor
