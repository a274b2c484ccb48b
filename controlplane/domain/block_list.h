// Block-lists as text: the form in which they are stored and hashed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/domain/types.h"

namespace bulkhead::controlplane {

inline constexpr size_t kMaxBlockedBinaries = 100000;               // of all lists of one sensor
inline constexpr size_t kMaxBlockedPathBytes = size_t{4} << 20;     // of one list, all paths together
inline constexpr char kBlockListPrefix[] = "bulkhead-block-list-";  // a policy's name is this and the list's

// Checks name and binaries and writes the list down: sorted, each once, in lines as migration 0017 says. Refuses a
// binary without path and digest, what ValidateBinaryPath refuses, a path with a line break, and, unless `force` is
// set, what CheckBlockable refuses. `field` is where the list stands in the request.
absl::StatusOr<BlockList> MakeBlockList(absl::string_view field, const std::string& name,
                                        std::vector<BlockedBinary> binaries, bool force);

// The binaries of such a text. `take` gets the path and the 32 bytes of the digest; one of them may be empty.
void ReadBlockList(absl::string_view text, const std::function<void(absl::string_view, std::string)>& take);

// How many binaries the lists of these policies name together.
size_t CountBlockedBinaries(const std::vector<Policy>& policies);

}  // namespace bulkhead::controlplane
