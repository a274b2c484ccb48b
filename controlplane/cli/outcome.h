// How a command ends: the exit code, carried inside an absl::Status so that the usual macros work.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane::cli {

// Exit codes of bulkheadctl; scripts depend on them.
inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotConverged = 3;
inline constexpr int kExitHalted = 4;
inline constexpr int kExitCancelled = 5;

// The command line was wrong; nothing was sent.
absl::Status UsageError(absl::string_view message);

// The order is stored, and the kernel did not confirm it (in time).
absl::Status NotConverged(absl::string_view message);

// A rollout that was waited for stopped by itself, or was stopped by an operator.
absl::Status Halted(absl::string_view message);
absl::Status Cancelled(absl::string_view message);

// Exit code for `status`: what the functions above put in, kExitError for every other error.
int ExitCodeOf(const absl::Status& status);

}  // namespace bulkhead::controlplane::cli
