// Compiles isolation rules into the entries of the kernel's rule trie. Pure: no kernel is asked.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

// What one generation's rule maps hold.
struct CompiledRules {
  std::vector<std::pair<bh_rule_key, bh_rule_value>> entries;  // each key once, in the trie's order
  std::vector<bh_port_set> port_sets;                          // bh_rule_value.port_set is the index + 1
};

// One entry for each prefix that rules name, with their ports merged, linked to the next shorter prefix that covers it.
// InvalidArgument: a rule is unusable (ports out of order, or with a protocol that has none); the message names the
// rule. ResourceExhausted: more entries or port sets than the kernel's maps hold.
absl::StatusOr<CompiledRules> CompileRules(const std::vector<IsolationRule>& rules);

}  // namespace bulkhead::sensor
