// Addresses as the kernel's programs know them: the control plane's endpoints and this host's own.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/datapath.h"

namespace bulkhead::sensor {

// An address in network byte order, with port 0; one of 4 bytes becomes a mapped one. Nothing when it has neither 4 nor
// 16 bytes.
std::optional<bh_endpoint> EndpointOf(const void* address, size_t bytes);

// InvalidArgument: an endpoint is no single address, or has no port.
absl::StatusOr<std::vector<bh_endpoint>> ToEndpoints(const std::vector<ControlPlaneEndpoint>& endpoints);

// Addresses of the calling thread's network namespace, with port 0.
absl::StatusOr<std::vector<bh_endpoint>> OwnAddresses();

// Cookie of that namespace, as the kernel's programs see it.
absl::StatusOr<uint64_t> OwnNamespaceCookie();

}  // namespace bulkhead::sensor
