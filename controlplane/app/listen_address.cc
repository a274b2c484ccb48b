// Numeric addresses only: a listener must not depend on a name service.
#include "controlplane/app/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace bulkhead::controlplane {
namespace {

absl::Status Wrong(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" must be ADDRESS:PORT, such as 0.0.0.0:7443 or [2001:db8::1]:7443"));
}

}  // namespace

absl::StatusOr<ListenAddress> ListenAddress::Parse(absl::string_view text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port > UINT16_MAX) {
    return Wrong(text);
  }
  ListenAddress address;
  address.text = std::string(text);
  address.port = static_cast<uint16_t>(port);
  const std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1) return Wrong(text);
    std::memcpy(&address.socket_address, &v6, sizeof(v6));
    address.length = sizeof(v6);
    return address;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(address.port);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return Wrong(text);
  std::memcpy(&address.socket_address, &v4, sizeof(v4));
  address.length = sizeof(v4);
  return address;
}

}  // namespace bulkhead::controlplane
