// Whom a policy is about.
#include "sensor/domain/policy_scope.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLongestPath = 4095;
constexpr size_t kLongestUnit = 255;
constexpr size_t kShortestContainerId = 12;
constexpr size_t kLongestContainerId = 64;

absl::Status CheckPath(absl::string_view path) {
  if (path.size() < 2 || path.size() > kLongestPath || path[0] != '/') {
    return absl::InvalidArgumentError(
        "is not an absolute path of 2..4095 bytes under the cgroup root, such as /system.slice/nginx.service; leave "
        "the "
        "scope out for the whole host");
  }
  for (absl::string_view component : absl::StrSplit(path.substr(1), '/')) {
    if (component.empty() || component == "." || component == ".." || absl::StrContains(component, '\0')) {
      return absl::InvalidArgumentError(
          "is not normalized; remove NUL bytes, \"//\", \"/.\", \"/..\" components and a trailing \"/\"");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUnit(absl::string_view unit) {
  const auto allowed = [](unsigned char c) { return absl::ascii_isalnum(c) || absl::StrContains(":-_.\\@", c); };
  const bool has_cgroup =
      absl::EndsWith(unit, ".service") || absl::EndsWith(unit, ".scope") || absl::EndsWith(unit, ".slice");
  if (!has_cgroup || unit[0] == '.' || unit.size() > kLongestUnit || !std::all_of(unit.begin(), unit.end(), allowed)) {
    return absl::InvalidArgumentError(
        "is not the full name of a service, scope or slice, such as nginx.service; other units have no cgroup");
  }
  if (unit != "-.slice") return absl::OkStatus();
  return absl::InvalidArgumentError("is the whole host; leave the scope out");
}

absl::Status CheckContainer(absl::string_view id) {
  const auto is_hex = [](unsigned char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
  if (id.size() >= kShortestContainerId && id.size() <= kLongestContainerId &&
      std::all_of(id.begin(), id.end(), is_hex))
    return absl::OkStatus();
  return absl::InvalidArgumentError("is not a container's id, or the first 12 or more of its 64 lower-case hex digits");
}

}  // namespace

absl::Status CheckPolicyScope(const PolicyScope& scope) {
  switch (scope.kind) {
    case PolicyScope::Kind::kCgroup:
      return CheckPath(scope.name);
    case PolicyScope::Kind::kSystemdUnit:
      return CheckUnit(scope.name);
    case PolicyScope::Kind::kContainer:
      break;
  }
  return CheckContainer(scope.name);
}

std::string DescribeScope(const PolicyScope& scope) {
  switch (scope.kind) {
    case PolicyScope::Kind::kCgroup:
      return absl::StrCat("cgroup ", scope.name);
    case PolicyScope::Kind::kSystemdUnit:
      return absl::StrCat("unit ", scope.name);
    case PolicyScope::Kind::kContainer:
      break;
  }
  return absl::StrCat("container ", scope.name);
}

}  // namespace bulkhead::sensor
