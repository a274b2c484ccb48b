// "ADDR:PORT" as the operator writes it, and the socket address that it means.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

struct ListenAddress {
  sockaddr_storage socket_address{};
  socklen_t length = 0;
  uint16_t port = 0;  // host byte order; 0: any free one
  std::string text;

  // Reads "192.0.2.1:7443" or "[2001:db8::1]:7443". InvalidArgument says what would be right.
  static absl::StatusOr<ListenAddress> Parse(absl::string_view text);
};

}  // namespace bulkhead::controlplane
