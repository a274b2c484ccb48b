// What the routing tables of this network namespace say about neighbours.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"

namespace bulkhead::sensor {

// Every gateway of every table, both families, once each; with port 0. Reads all routes: a router with a million of
// them takes about a second.
absl::StatusOr<std::vector<bh_endpoint>> Gateways();

// Whom a packet to `remote` (its port does not matter) is handed to: the gateway, or the remote itself where it is on
// the link; with port 0. An error: there is no route.
absl::StatusOr<bh_endpoint> NextHop(const bh_endpoint& remote);

}  // namespace bulkhead::sensor
