// Labels: what operators call sensors by in groups.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr size_t kMaxLabels = 32;

// A key is 1..63 of [a-z0-9._-], starting and ending with a letter or digit; a value 0..63 of [A-Za-z0-9._-].
// InvalidField that quotes what is wrong and says what would be right. Pure; thread safe.
absl::Status ValidateLabelKey(absl::string_view field, absl::string_view key);
absl::Status ValidateLabelValue(absl::string_view field, absl::string_view value);

// "env=prod,role=web", by key; for audit records.
std::string LabelsText(const Labels& labels);

// At most kMaxLabels of them, each key and value as above.
absl::Status ValidateLabels(absl::string_view field, const Labels& labels);

}  // namespace bulkhead::controlplane
