// "HOST:PORT" of a control plane, as a value.
#include "sensor/domain/host_port.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLongestHost = 253;

bool IsDnsName(absl::string_view host) {
  if (host.empty() || host.size() > kLongestHost || host.front() == '-' || host.front() == '.') return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const auto invalid = [text](absl::string_view problem) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" ", problem,
                                                   "; give HOST:PORT such as cp.example.net:8443 or "
                                                   "[2001:db8::1]:8443"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return invalid("has no port");
  absl::string_view host = text.substr(0, colon);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return invalid("has a port that is not within 1..65535");
  }
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return invalid("has an opening bracket without a closing one");
    host = host.substr(1, host.size() - 2);
    const absl::StatusOr<IpPrefix> address = IpPrefix::Parse(host);
    if (!address.ok() || address->mapped_length() != 128) return invalid("has no IPv6 address between the brackets");
  } else if (!IsDnsName(host)) {
    return invalid("has no host name or address before the port (an IPv6 address needs brackets)");
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

std::string ToString(const HostPort& value) {
  if (value.host.find(':') != std::string::npos) return absl::StrCat("[", value.host, "]:", value.port);
  return absl::StrCat(value.host, ":", value.port);
}

std::vector<ControlPlaneEndpoint> EndpointsOf(const std::vector<ResolvedHost>& hosts) {
  std::vector<ControlPlaneEndpoint> out;
  for (const ResolvedHost& host : hosts) {
    for (const ControlPlaneEndpoint& endpoint : host.endpoints) {
      if (std::find(out.begin(), out.end(), endpoint) == out.end()) out.push_back(endpoint);
    }
  }
  return out;
}

}  // namespace bulkhead::sensor
