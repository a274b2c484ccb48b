// What policies in shadow mode would have cut, as the kernel lists it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {

// The most frequent of one policy, at most kMostCutsShown. `map` is bh_cuts.
absl::StatusOr<std::vector<WouldCut>> ReadCuts(const BpfMap& map, const bh_policy_key& policy);

// Forgets what belongs to other policies than these.
absl::Status RemoveOtherCuts(const BpfMap& map, const std::vector<std::string>& policy_ids);

}  // namespace bulkhead::sensor
