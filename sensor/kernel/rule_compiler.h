// Compiles isolation rules into the entries of the kernel's rule map. Pure: no kernel is asked.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

// What one generation's rule maps hold.
struct CompiledRules {
  std::vector<std::pair<bh_rule_key, bh_rule_value>> entries;  // each key once
  std::vector<bh_port_set> port_sets;                          // bh_rule_value.port_set is the index + 1
  std::array<bh_rule_lengths, BH_RULE_KINDS> lengths{};        // by bh_rule_kind(); part of the set's head
};

// One entry for each prefix that rules name, with their ports merged, linked to the next shorter prefix that covers it;
// and entries without ports that guide the kernel's binary search on prefix lengths (see bh_longest_rule).
// InvalidArgument: a rule is unusable (ports out of order, or with a protocol that has none); the message names the
// rule. ResourceExhausted: more entries or port sets than the kernel's maps hold.
absl::StatusOr<CompiledRules> CompileRules(const std::vector<IsolationRule>& rules);

}  // namespace bulkhead::sensor
