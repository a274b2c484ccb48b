// An isolation rule as it was asked for, and its validated form.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

// At most so many rules; the sensor's tables are sized for them.
inline constexpr int64_t kMaxIsolationRules = 10000;
inline constexpr size_t kMaxDescriptionBytes = 256;

// Numbers as wide as the wire has them, so that port 70000 is seen and refused instead of cut off.
struct IsolationRuleInput {
  std::string address;  // empty: any
  bool has_ports = false;
  uint32_t first_port = 0;
  uint32_t last_port = 0;
  uint32_t protocol = 0;  // 0: any
  int direction = 0;      // number of the wire's enum
  std::string description;
};

// Checks every field. InvalidField names the first that is wrong, with "rule." in front. Pure; thread safe.
absl::StatusOr<IsolationRule> ParseIsolationRule(const IsolationRuleInput& input);

}  // namespace bulkhead::controlplane
