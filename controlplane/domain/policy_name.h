// Names of enforcement policies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr char kContainmentPolicyName[] = "network-containment";
inline constexpr char kIsolationPolicyName[] = "network-isolation";
inline constexpr char kBlockBinaryPrefix[] = "bulkhead-block-binary-";

// The part of a block's name that comes from the path. Letters are lowered, letters, digits, "." and "_" stay, every
// run of other bytes becomes one "-", "-" at the ends goes, and of what is left the last 64 characters are kept,
// because the end of a path tells more.
// "/usr/bin/nc" gives "usr-bin-nc". A path of which nothing is left gives "path".
std::string SanitizePathSuffix(absl::string_view path);

// "bulkhead-block-binary-<sanitized-path-suffix>", unique among `existing` (the sensor's policies): when another path
// there has the name already, "-" and the first 8 hexadecimal digits of the SHA-256 of the path are appended. Without
// a path the suffix is the first 16 hexadecimal digits of `sha256`, all 64 where those are taken. Pure; thread safe.
std::string BlockBinaryPolicyName(absl::string_view path, absl::string_view sha256,
                                  const std::vector<Policy>& existing);

// `prefix` alone without a scope; with one, "<prefix>-<sanitized-scope>", unique among `existing` in the same way.
std::string ScopedPolicyName(absl::string_view prefix, const std::optional<Scope>& scope,
                             const std::vector<Policy>& existing);

// "cgroup:/a/b", "unit:nginx.service" or "container:0123456789ab".
std::string ScopeWord(const Scope& scope);

}  // namespace bulkhead::controlplane
