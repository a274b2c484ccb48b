// The network namespaces of a host or of a scope, one after the other.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// Calls `visit` in each namespace that a process of the scope is in, for the host also in those that a mount of ours
// keeps, on a thread of its own; the first error ends the walk and is returned.
absl::Status InEachNamespace(const Scope& scope, const std::function<absl::Status()>& visit);

}  // namespace bulkhead::sensor
