// Which binaries must not be blocked by a slip of the hand.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// Refuses a path whose block would break the host (init, the loader, libc, a shell, the package manager, in the
// directories where a distribution puts them) unless `force` is set, and Bulkhead's own sensor always. A shell that an
// intruder dropped in /tmp is not refused. Works on the path alone: the file is on another host. Pure; thread safe.
absl::Status CheckBlockable(absl::string_view field, absl::string_view path, bool force);

}  // namespace bulkhead::controlplane
