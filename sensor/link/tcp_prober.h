// Whether TCP connections to several addresses can be opened, all at the same time.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "sensor/domain/datapath.h"

namespace bulkhead::sensor {

// For each endpoint, in order: 0 when a connection was established, ETIMEDOUT when nothing came back in time, else the
// errno that ended it. Every connection is closed again. Returns as soon as one is established and the others had 50 ms
// more, at the latest after `timeout`.
std::vector<int> TryTcp(const std::vector<ControlPlaneEndpoint>& endpoints, absl::Duration timeout);

}  // namespace bulkhead::sensor
