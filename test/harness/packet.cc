// Small acts on sockets with a bounded wait.
#include "harness/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>

#include <stdexcept>

namespace bulkhead::test {
namespace {

bool Ready(int fd, short events, int millis) {
  pollfd wait{fd, events, 0};
  return poll(&wait, 1, millis) == 1;
}

}  // namespace

Address At(const std::string& ip, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(*v6);
  } else {
    throw std::runtime_error("not an address: " + ip);
  }
  return address;
}

int Bind(const UniqueFd& fd, const Address& address) {
  const int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  return bind(fd.get(), address.get(), address.size) == 0 ? 0 : errno;
}

int Listen(const UniqueFd& fd, const Address& address) {
  const int error = Bind(fd, address);
  if (error != 0) return error;
  return listen(fd.get(), 16) == 0 ? 0 : errno;
}

int Connect(const UniqueFd& fd, const Address& address, int millis) {
  const int flags = fcntl(fd.get(), F_GETFL);
  fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK);
  int error = connect(fd.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) error = Ready(fd.get(), POLLOUT, millis) ? PendingError(fd, 0) : ETIMEDOUT;
  fcntl(fd.get(), F_SETFL, flags);
  return error;
}

UniqueFd Accept(const UniqueFd& listener, int millis) {
  if (!Ready(listener.get(), POLLIN, millis)) return UniqueFd();
  return UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

int Send(const UniqueFd& fd, const std::string& text) {
  return send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

int SendTo(const UniqueFd& fd, const std::string& text, const Address& address) {
  const ssize_t sent =
      sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address.get(), address.size);
  return sent < 0 ? errno : 0;
}

std::string Receive(const UniqueFd& fd, int millis, Address* from) {
  char buffer[2048];
  Address ignored;
  Address* sender = from == nullptr ? &ignored : from;
  if (!Ready(fd.get(), POLLIN, millis)) return std::string();
  sender->size = sizeof(sender->storage);
  const ssize_t size = recvfrom(fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT,
                                reinterpret_cast<sockaddr*>(&sender->storage), &sender->size);
  return size > 0 ? std::string(buffer, size) : std::string();
}

int PendingError(const UniqueFd& fd, int millis) {
  if (millis > 0) Ready(fd.get(), POLLERR, millis);
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace bulkhead::test
