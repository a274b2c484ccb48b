// Whole files: read with a limit, replace atomically.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

// Reads a whole file. NotFound when it is not there, ResourceExhausted when longer than `limit` bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit = 16 << 20);

// Replaces `path` by a file with this content and mode: temporary file in the same directory, fsync, rename, fsync of
// the directory. After a crash at any moment the old or the new content is there, whole.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode);

// Makes a directory and its parents with `mode`; one that exists is left as it is.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

}  // namespace bulkhead
