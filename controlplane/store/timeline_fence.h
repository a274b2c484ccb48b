// Refuses a PostgreSQL server that another one has taken over from.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bulkhead::controlplane {

// Each promotion of a standby begins a new timeline. A primary that was lost and comes back takes writes on the old
// one, and knows nothing of what was ordered since: whoever has seen the new timeline does not speak to it. Thread
// safe.
class TimelineFence {
 public:
  // What PostgreSQL says of itself.
  struct Server {
    uint64_t system = 0;  // system identifier: the same for a primary and its standbys, another after initdb
    uint32_t timeline = 0;
  };

  // The newest timeline is kept in `file`, so that a restart forgets nothing; an empty name keeps it in memory.
  // InvalidArgument when the file holds something else.
  static absl::StatusOr<std::unique_ptr<TimelineFence>> Load(std::string file);

  // FailedPrecondition when a newer timeline of the same system was seen, which is also logged, once a minute.
  // Otherwise remembers this one; Internal when that cannot be stored.
  absl::Status Check(const Server& server);

 private:
  explicit TimelineFence(std::string file) : file_(std::move(file)) {}

  const std::string file_;
  std::mutex mutex_;
  Server newest_;                                     // guarded by mutex_
  absl::Time next_complaint_ = absl::InfinitePast();  // guarded by mutex_
};

}  // namespace bulkhead::controlplane
