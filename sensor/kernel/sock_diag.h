// Destroys sockets of the calling thread's network namespace through NETLINK_SOCK_DIAG.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/abi.h"

namespace bulkhead::sensor {

// Destroys each socket; its owner gets ECONNABORTED. A socket that is gone by now is not counted. Returns how many were
// destroyed. Unimplemented: this kernel has no SOCK_DESTROY.
absl::StatusOr<uint32_t> DestroySockets(const bh_socket* sockets, size_t count);

}  // namespace bulkhead::sensor
