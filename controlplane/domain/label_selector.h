// Label selectors: which sensors an operator means, such as "env=prod,!canary".
#pragma once

#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr size_t kMaxSelectorBytes = 1024;

// All of it must hold. Nothing set: every sensor.
struct LabelSelector {
  Labels equal;                                          // key=value
  std::set<std::pair<std::string, std::string>> differ;  // key!=value; holds for a sensor without the key too
  std::set<std::string> present;                         // key
  std::set<std::string> absent;                          // !key
};

// Parses comma-separated "key=value", "key!=value", "key" and "!key"; spaces around each are ignored. Empty text means
// every sensor. InvalidField names the part that is wrong; so does one that no sensor can match (a key with two
// values). Pure; thread safe.
absl::StatusOr<LabelSelector> ParseLabelSelector(absl::string_view field, absl::string_view text);

}  // namespace bulkhead::controlplane
