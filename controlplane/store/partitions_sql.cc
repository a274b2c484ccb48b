// Partitions by day: made ahead, and dropped when all that is in them is too old.
#include <algorithm>

#include "common/status_macros.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// Days for which nobody needs to have been there.
constexpr int kDaysAhead = 3;
// Of one table in one call; the rest waits for the next.
constexpr int kMostDrops = 100;

}  // namespace

absl::StatusOr<int64_t> PgStore::KeepPartitions(const Retention& keep, absl::Time now) {
  absl::Time database_now;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("make partitions", "SELECT now(), create_record_partitions($1)", kDaysAhead));
    ASSIGN_OR_RETURN(database_now,
                     ReadRow("make partitions", rows.front(), [](const pqxx::row& row) { return TimeFrom(row[0]); }));
    return absl::OkStatus();
  }));
  // A clock that is ahead must not have records removed that are not old.
  const absl::Time agreed = std::min(now, database_now);
  int64_t removed = 0;
  for (const auto& [parent, age] : {std::pair("events", keep.events), std::pair("heartbeats", keep.heartbeats)}) {
    // Each in a transaction of its own: the lock that dropping needs is held for one table only.
    for (int i = 0; i < kMostDrops; ++i) {
      int dropped = 0;
      RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
        ASSIGN_OR_RETURN(const pqxx::result rows,
                         tx.Execute("remove old records", "SELECT drop_old_records($1, $2::timestamptz)",
                                    std::string(parent), TimeText(agreed - age)));
        dropped = rows.front()[0].as<int>();
        return absl::OkStatus();
      }));
      if (dropped == 0) break;
      removed += dropped;
    }
  }
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("remove old counts of events",
                                "DELETE FROM event_days WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date",
                                TimeText(agreed - keep.events)));
    removed += static_cast<int64_t>(rows.affected_rows());
    return absl::OkStatus();
  }));
  return removed;
}

}  // namespace bulkhead::controlplane
