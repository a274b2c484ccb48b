// Who this network namespace has TCP connections with.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "bulkhead/abi.h"

namespace bulkhead::sensor {

// Remote endpoints in the text of /proc/net/tcp or /proc/net/tcp6; lines that cannot be read are left out.
std::vector<bh_endpoint> ParseTcpPeers(absl::string_view text);

// Of /proc/net/tcp and tcp6 together.
std::vector<bh_endpoint> TcpPeers();

}  // namespace bulkhead::sensor
