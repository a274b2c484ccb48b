// The subcommands that are not `serve`: each does one thing and leaves.
#pragma once

#include "absl/status/status.h"
#include "controlplane/app/options.h"

namespace bulkhead::controlplane {

// Runs options.command and returns when it is done (`serve`: when a signal ended it). SIGTERM and SIGINT must be
// blocked.
absl::Status RunCommand(const Options& options);

}  // namespace bulkhead::controlplane
