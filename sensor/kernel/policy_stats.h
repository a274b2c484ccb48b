// Hit counters of policies, kept in the kernel so that they survive the sensor.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {

// Makes an entry for each id that has none. InvalidArgument: an id is longer than 63 bytes.
absl::Status AddPolicyStats(const BpfMap& map, const std::vector<std::string>& policy_ids);

// Removes entries of other ids.
absl::Status RemoveOtherPolicyStats(const BpfMap& map, const std::vector<std::string>& policy_ids);

// Every entry.
absl::StatusOr<std::vector<bh_policy_stat>> ReadPolicyStats(const BpfMap& map);

}  // namespace bulkhead::sensor
