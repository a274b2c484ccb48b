// Reads this host's addresses, and converts those of the control plane.
#include "sensor/kernel/endpoints.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {
namespace {

constexpr int kWholeAddress = 128;
constexpr size_t kMappedAt = sizeof(in6_addr) - sizeof(in_addr);  // of an IPv4 address in a mapped one

// Nothing when it is of no family with addresses.
std::optional<bh_endpoint> FromSockaddr(const sockaddr* address) {
  if (address != nullptr && address->sa_family == AF_INET) {
    return EndpointOf(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr, sizeof(in_addr));
  }
  if (address != nullptr && address->sa_family == AF_INET6) {
    return EndpointOf(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, sizeof(in6_addr));
  }
  return std::nullopt;
}

}  // namespace

std::optional<bh_endpoint> EndpointOf(const void* address, size_t bytes) {
  bh_endpoint endpoint{};
  if (bytes == sizeof(in_addr)) {
    endpoint.address[kMappedAt - 2] = endpoint.address[kMappedAt - 1] = 0xff;
    std::memcpy(endpoint.address + kMappedAt, address, bytes);
  } else if (bytes == sizeof(in6_addr)) {
    std::memcpy(endpoint.address, address, bytes);
  } else {
    return std::nullopt;
  }
  return endpoint;
}

absl::StatusOr<std::vector<bh_endpoint>> ToEndpoints(const std::vector<ControlPlaneEndpoint>& endpoints) {
  std::vector<bh_endpoint> converted;
  for (const ControlPlaneEndpoint& endpoint : endpoints) {
    if (endpoint.address.is_any() || endpoint.address.mapped_length() != kWholeAddress || endpoint.port == 0) {
      return absl::InvalidArgumentError(absl::StrCat("control plane endpoint ", endpoint.address.ToString(), " port ",
                                                     endpoint.port, ": needs one address and a port"));
    }
    bh_endpoint key{};
    std::memcpy(key.address, endpoint.address.bytes().data(), sizeof(key.address));
    key.port = endpoint.port;
    if (!Holds(converted, key)) converted.push_back(key);
  }
  if (converted.size() <= BH_MAX_CONTROL_PLANE) return converted;
  return absl::InvalidArgumentError(absl::StrCat("more than ", BH_MAX_CONTROL_PLANE, " control plane endpoints"));
}

absl::StatusOr<std::vector<bh_endpoint>> OwnAddresses() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return ErrnoToStatus(errno, "list this host's addresses");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(first, freeifaddrs);
  std::vector<bh_endpoint> addresses;
  for (const ifaddrs* it = first; it != nullptr && addresses.size() < BH_MAX_LOCAL_ADDRESSES; it = it->ifa_next) {
    const std::optional<bh_endpoint> endpoint = FromSockaddr(it->ifa_addr);
    if (endpoint.has_value() && !Holds(addresses, *endpoint)) addresses.push_back(*endpoint);
  }
  return addresses;
}

absl::StatusOr<uint64_t> OwnNamespaceCookie() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (fd.valid() && getsockopt(fd.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0) return cookie;
  return ErrnoToStatus(errno, "read the cookie of the network namespace");
}

}  // namespace bulkhead::sensor
