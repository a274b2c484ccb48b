// Small acts on sockets with a bounded wait, for tests that ask whether a packet passes.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "common/unique_fd.h"

namespace bulkhead::test {

// How long to wait for something that must come, and for something that must not.
inline constexpr int kMustComeMillis = 3000;
inline constexpr int kMustNotComeMillis = 200;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// From text of either family.
Address At(const std::string& ip, uint16_t port);

// 0 or the errno.
int Bind(const UniqueFd& fd, const Address& address);
int Listen(const UniqueFd& fd, const Address& address);

// 0, the errno of connect(2), or ETIMEDOUT after `millis`.
int Connect(const UniqueFd& fd, const Address& address, int millis = kMustNotComeMillis);

// An accepted connection; invalid after `millis`.
UniqueFd Accept(const UniqueFd& listener, int millis = kMustComeMillis);

// 0 or the errno.
int Send(const UniqueFd& fd, const std::string& text);
int SendTo(const UniqueFd& fd, const std::string& text, const Address& address);

// What arrives within `millis`; empty when nothing does. `from` may be null.
std::string Receive(const UniqueFd& fd, int millis, Address* from = nullptr);

// SO_ERROR within `millis`: 0 when there is none.
int PendingError(const UniqueFd& fd, int millis);

}  // namespace bulkhead::test
