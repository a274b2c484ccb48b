// Allow-lists and block-lists as text: one binary a line, as `bulkheadctl policy learned` prints them and --file takes
// them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bulkhead/v1/policy.pb.h"

namespace bulkhead::controlplane::cli {

// The 32 bytes behind 64 hexadecimal digits, as sha256sum prints them. UsageError, naming `what`, for others.
absl::StatusOr<std::string> DigestFromHex(absl::string_view what, const std::string& digits);

// Appends the binaries of `text` to `list` (v1::AllowList or v1::BlockList). A line is a path, a digest, or a digest,
// two spaces and a path, as sha256sum prints them; empty lines and those that begin with "#" say nothing. UsageError
// names the line.
template <typename List>
absl::Status ParseList(absl::string_view name, absl::string_view text, List* list);

// Can a line hold this path?
bool FitsLine(absl::string_view path);

// The line of one binary, with its newline. A path that does not fit into a line is left out where there is a digest.
std::string AllowListLine(const v1::AllowedBinary& binary);

}  // namespace bulkhead::controlplane::cli
