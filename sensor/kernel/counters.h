// The kernel's counters by name.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {

// Every counter, summed over the CPUs, in the order of enum bh_counter; zeros included.
absl::StatusOr<std::vector<Counter>> ReadCounters(const BpfMap& map);

}  // namespace bulkhead::sensor
