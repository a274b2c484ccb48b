// Where a probe may knock to see that a wall is there: a documentation address that no isolation rule allows.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

struct ForbiddenTarget {
  IpPrefix address;   // IPv4, of RFC 5737: nobody's
  uint16_t port = 0;  // 0 for a protocol without ports
};

// A target that no rule lets this host reach by IP protocol number `protocol`; none when the rules allow all that may
// be tried. With containment alone pass no rules: it reads none.
std::optional<ForbiddenTarget> ChooseForbiddenTarget(const std::vector<IsolationRule>& rules, uint8_t protocol);

}  // namespace bulkhead::sensor
