// How a command ends: the exit code, carried inside an absl::Status so that the usual macros work.
#include "controlplane/cli/outcome.h"

#include "absl/strings/cord.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr char kUsagePayload[] = "bulkheadctl/usage";
constexpr char kNotConvergedPayload[] = "bulkheadctl/not-converged";
constexpr char kHaltedPayload[] = "bulkheadctl/halted";
constexpr char kCancelledPayload[] = "bulkheadctl/cancelled";

}  // namespace

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

absl::Status NotConverged(absl::string_view message) {
  absl::Status status = absl::DeadlineExceededError(message);
  status.SetPayload(kNotConvergedPayload, absl::Cord());
  return status;
}

absl::Status Halted(absl::string_view message) {
  absl::Status status = absl::AbortedError(message);
  status.SetPayload(kHaltedPayload, absl::Cord());
  return status;
}

absl::Status Cancelled(absl::string_view message) {
  absl::Status status = absl::CancelledError(message);
  status.SetPayload(kCancelledPayload, absl::Cord());
  return status;
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  if (status.GetPayload(kUsagePayload).has_value()) return kExitUsage;
  if (status.GetPayload(kNotConvergedPayload).has_value()) return kExitNotConverged;
  if (status.GetPayload(kHaltedPayload).has_value()) return kExitHalted;
  if (status.GetPayload(kCancelledPayload).has_value()) return kExitCancelled;
  return kExitError;
}

}  // namespace bulkhead::controlplane::cli
