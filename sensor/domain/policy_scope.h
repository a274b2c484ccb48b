// Whom a policy is about, when it is not everything that the sensor was started for.
#pragma once

#include <compare>
#include <string>

#include "absl/status/status.h"

namespace bulkhead::sensor {

// A cgroup and everything below it, named in one of three ways; see bulkhead.v1.Scope.
struct PolicyScope {
  enum class Kind { kCgroup = 1, kSystemdUnit = 2, kContainer = 3 };

  Kind kind = Kind::kCgroup;
  std::string name;  // path under the host's cgroup v2 root, name of a unit, or 12..64 lower-case hex digits

  friend auto operator<=>(const PolicyScope&, const PolicyScope&) = default;
};

// InvalidArgument says what is wrong with the name and what would be right. Whether there is such a thing is not asked.
absl::Status CheckPolicyScope(const PolicyScope& scope);

// "cgroup /a/b", "unit nginx.service", "container 0123456789ab".
std::string DescribeScope(const PolicyScope& scope);

}  // namespace bulkhead::sensor
