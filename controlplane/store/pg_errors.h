// Turns libpqxx's exceptions into statuses, once, in one place.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// A failed statement, and whether the whole transaction may be run again because it certainly changed nothing.
struct PgFailure {
  absl::Status status;
  bool retryable = false;
};

// For use inside a catch block. `what` names what was being done, as in "store a heartbeat".
// Serialization failure, deadlock: Aborted, retryable. Lost connection, database starting, stopping or read-only,
// timeout: Unavailable, retryable but for the timeout. Commit of unknown outcome: Unknown. Unique: AlreadyExists. Other
// constraints: FailedPrecondition. A value that the database cannot hold: InvalidArgument. Disk full:
// ResourceExhausted. The rest: Internal. Texts of the database's own errors are kept.
PgFailure FailureFromCurrentException(absl::string_view what);

}  // namespace bulkhead::controlplane
