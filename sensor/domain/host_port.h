// "HOST:PORT" of a control plane, as a value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sensor/domain/datapath.h"

namespace bulkhead::sensor {

// A DNS name or an IP address, and a TCP port.
struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// Reads "cp.example.net:8443", "192.0.2.1:8443" or "[2001:db8::1]:8443". InvalidArgument says what is wrong and what
// would be right.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// With brackets around an IPv6 address.
std::string ToString(const HostPort& value);

// The addresses of one configured name.
struct ResolvedHost {
  HostPort name;
  std::vector<ControlPlaneEndpoint> endpoints;

  friend bool operator==(const ResolvedHost&, const ResolvedHost&) = default;
};

// All endpoints, each once, in order.
std::vector<ControlPlaneEndpoint> EndpointsOf(const std::vector<ResolvedHost>& hosts);

}  // namespace bulkhead::sensor
