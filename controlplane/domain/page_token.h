// Opaque page tokens: where a list goes on, bound to the list and the filter that they were made for.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// `list` names the list and its filter ("policies/<sensor id>"); `keys` are the sort keys of the last row of the page.
std::string EncodePageToken(absl::string_view list, const std::vector<std::string>& keys);

// The keys of a token. InvalidField("page_token") when it is not a token of this list and filter, or was changed; a
// token is not a secret and grants nothing, the check is there to answer a wrong one precisely. Empty token: no keys
// (the first page).
absl::StatusOr<std::vector<std::string>> DecodePageToken(absl::string_view list, size_t key_count,
                                                         absl::string_view token);

}  // namespace bulkhead::controlplane
