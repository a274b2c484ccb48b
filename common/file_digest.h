// SHA-256 of a file's content, read piece by piece.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace bulkhead {

// SHA-256 (32 raw bytes) of what is behind `fd`, from its start. ResourceExhausted when it is longer than `limit`
// bytes; the descriptor's offset is not used and not moved.
absl::StatusOr<std::string> Sha256OfFile(int fd, uint64_t limit);

}  // namespace bulkhead
