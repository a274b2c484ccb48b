// Events of sensors: stored once, listed, followed, counted.
#include <map>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// A sensor that is started again and again leaves a row each time.
constexpr int kRunsKept = 8;

constexpr char kSelect[] =
    "SELECT e.id, e.xid, e.sensor_id, coalesce(s.name, '') AS sensor_name, e.received_at, e.lost_before, e.sequence,"
    " e.happened_at, e.kind, e.policy_id, e.pid, e.comm, e.detail, e.uid, e.parent_pid, e.parent_comm, e.cgroup,"
    " e.container FROM events e LEFT JOIN sensors s ON s.id = e.sensor_id WHERE";
// $1 to $5. The values are known when the statement is planned, so what does not matter costs nothing.
constexpr char kFilter[] =
    " ($1 = '' OR e.sensor_id = NULLIF($1, '')::uuid) AND ($2 = 0 OR e.kind = $2) AND ($3 = '' OR e.policy_id = $3)"
    " AND ($4 = '' OR e.received_at >= NULLIF($4, '')::timestamptz)"
    " AND ($5 = '' OR e.received_at < NULLIF($5, '')::timestamptz)";

constexpr char kInsert[] = R"(
INSERT INTO events (sensor_id, run_id, sequence, lost_before, happened_at, kind, policy_id, pid, comm, detail, uid,
                    parent_pid, parent_comm, cgroup, container)
SELECT $1::uuid, $2::uuid, sequence, lost_before, NULLIF(happened_at, '')::timestamptz, kind, policy_id, pid, comm,
       detail, uid, parent_pid, parent_comm, cgroup, container
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bigint[], $9::text[], $10::text[],
            $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[])
  AS e (sequence, lost_before, happened_at, kind, policy_id, pid, comm, detail, uid, parent_pid, parent_comm, cgroup,
        container)
ORDER BY sequence)";

constexpr char kCountDay[] = R"(
INSERT INTO event_days AS d (sensor_id, day, kind, stored, refused, lost)
SELECT $1::uuid, current_date, c.kind, c.stored, c.refused, 0
FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS c (kind, stored, refused)
ON CONFLICT ON CONSTRAINT event_days_pkey DO UPDATE
  SET stored = d.stored + excluded.stored, refused = d.refused + excluded.refused)";

// A hostile sensor may say that it lost any number.
constexpr char kCountLost[] = R"(
INSERT INTO event_days AS d (sensor_id, day, kind, stored, refused, lost) VALUES ($1::uuid, current_date, 0, 0, 0, $2)
ON CONFLICT ON CONSTRAINT event_days_pkey DO UPDATE
  SET lost = least(d.lost::numeric + excluded.lost, 9223372036854775807)::bigint)";

StoredEvent EventFrom(const pqxx::row& row) {
  StoredEvent stored;
  stored.id = row["id"].as<uint64_t>();
  stored.transaction = row["xid"].as<uint64_t>();
  stored.sensor_id = row["sensor_id"].c_str();
  stored.sensor_name = row["sensor_name"].c_str();
  stored.received_at = TimeFrom(row["received_at"]);
  stored.lost_before = row["lost_before"].as<uint64_t>();
  SensorEvent& event = stored.event;
  event.sequence = row["sequence"].as<uint64_t>();
  event.time = OptionalTimeFrom(row["happened_at"]);
  event.kind = row["kind"].as<int>();
  event.policy_id = row["policy_id"].c_str();
  event.pid = row["pid"].as<uint32_t>();
  event.comm = row["comm"].c_str();
  event.detail = row["detail"].c_str();
  event.uid = row["uid"].as<uint32_t>();
  event.parent_pid = row["parent_pid"].as<uint32_t>();
  event.parent_comm = row["parent_comm"].c_str();
  event.cgroup = row["cgroup"].c_str();
  event.container = row["container"].c_str();
  return stored;
}

// Where the run stands, in a row that is locked until the end.
absl::StatusOr<uint64_t> LockRun(PgTransaction& tx, const std::string& sensor_id, const std::string& run_id) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      tx.Execute("lock a run of a sensor",
                 "INSERT INTO event_runs AS r (sensor_id, run_id, last_sequence) VALUES ($1::uuid, $2::uuid, 0)"
                 " ON CONFLICT ON CONSTRAINT event_runs_pkey DO UPDATE SET stored_at = now()"
                 " RETURNING last_sequence",
                 sensor_id, run_id));
  const auto last = rows.front()[0].as<uint64_t>();
  if (last != 0) return last;
  RETURN_IF_ERROR(
      tx.Execute("forget old runs of a sensor",
                 "DELETE FROM event_runs WHERE sensor_id = $1::uuid AND run_id <> $2::uuid AND run_id NOT IN"
                 " (SELECT run_id FROM event_runs WHERE sensor_id = $1::uuid ORDER BY stored_at DESC LIMIT $3)",
                 sensor_id, run_id, kRunsKept)
          .status());
  return last;
}

absl::StatusOr<std::map<int, uint64_t>> StoredToday(PgTransaction& tx, const std::string& sensor_id) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      tx.Execute("count the events of a day",
                 "SELECT kind, stored FROM event_days WHERE day = current_date AND sensor_id = $1::uuid", sensor_id));
  std::map<int, uint64_t> stored;
  for (const pqxx::row& row : rows) stored[row[0].as<int>()] = row[1].as<uint64_t>();
  return stored;
}

absl::Status InsertEvents(PgTransaction& tx, const std::string& sensor_id, const std::string& run_id,
                          const std::vector<EventAdmission::Admitted>& admitted) {
  if (admitted.empty()) return absl::OkStatus();
  std::vector<uint64_t> sequences, losses, pids, uids, parent_pids;
  std::vector<int> kinds;
  std::vector<std::string> times, policies, comms, details, parent_comms, cgroups, containers;
  for (const EventAdmission::Admitted& one : admitted) {
    const SensorEvent& event = *one.event;
    sequences.push_back(event.sequence);
    losses.push_back(one.lost_before);
    times.push_back(TimeText(event.time));
    kinds.push_back(event.kind);
    policies.push_back(event.policy_id);
    pids.push_back(event.pid);
    comms.push_back(event.comm);
    details.push_back(event.detail);
    uids.push_back(event.uid);
    parent_pids.push_back(event.parent_pid);
    parent_comms.push_back(event.parent_comm);
    cgroups.push_back(event.cgroup);
    containers.push_back(event.container);
  }
  return tx
      .Execute("store events", kInsert, sensor_id, run_id, NumberArray(sequences), NumberArray(losses),
               TextArray(times), NumberArray(kinds), TextArray(policies), NumberArray(pids), TextArray(comms),
               TextArray(details), NumberArray(uids), NumberArray(parent_pids), TextArray(parent_comms),
               TextArray(cgroups), TextArray(containers))
      .status();
}

absl::Status CountDay(PgTransaction& tx, const std::string& sensor_id, const EventAdmission& admission) {
  std::vector<int> kinds;
  std::vector<uint64_t> stored, refused;
  for (const auto& [bucket, count] : admission.by_bucket) {
    kinds.push_back(bucket);
    stored.push_back(count.stored);
    refused.push_back(count.refused);
  }
  RETURN_IF_ERROR(
      tx.Execute("count events", kCountDay, sensor_id, NumberArray(kinds), NumberArray(stored), NumberArray(refused))
          .status());
  if (admission.taken.lost == 0) return absl::OkStatus();
  return tx.Execute("count lost events", kCountLost, sensor_id, admission.taken.lost).status();
}

std::vector<std::string> KeysOf(const StoredEvent& last) {
  return {TimeText(last.received_at), absl::StrCat(last.id)};
}

}  // namespace

absl::StatusOr<EventsTaken> PgStore::StoreEvents(const Ownership& owner, const EventBatch& batch,
                                                 uint64_t daily_limit) {
  RETURN_IF_ERROR(ValidateEventBatch(batch));
  EventsTaken taken;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    // Held: batches of one sensor come one after the other, from whichever replicas.
    ASSIGN_OR_RETURN(const OrderedState ordered, tx.CheckOwnership(owner, /*hold=*/true));
    if (ordered.trust == Trust::kRevoked) return SensorIdentityRevoked(owner.sensor_id);
    ASSIGN_OR_RETURN(const uint64_t last, LockRun(tx, owner.sensor_id, batch.run_id));
    taken = EventsTaken{.repeated = batch.events.size()};
    const uint64_t newest = batch.events.back().sequence;
    if (newest <= last) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto stored_today, StoredToday(tx, owner.sensor_id));
    const EventAdmission admission = AdmitEvents(batch, last, stored_today, daily_limit);
    RETURN_IF_ERROR(InsertEvents(tx, owner.sensor_id, batch.run_id, admission.admitted));
    RETURN_IF_ERROR(CountDay(tx, owner.sensor_id, admission));
    taken = admission.taken;
    return tx
        .Execute("move a run of a sensor on",
                 "UPDATE event_runs SET last_sequence = $3 WHERE sensor_id = $1::uuid AND run_id = $2::uuid",
                 owner.sensor_id, batch.run_id, newest)
        .status();
  }));
  return taken;
}

absl::StatusOr<Page<StoredEvent>> PgStore::ListEvents(const EventFilter& filter, int page_size,
                                                      const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("events/", filter.Key());
  ASSIGN_OR_RETURN(const std::vector<std::string> before, DecodePageToken(list, 2, page_token));
  Page<StoredEvent> page;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("list events",
                   absl::StrCat(kSelect, kFilter,
                                " AND ($6 = '' OR (e.received_at, e.id) < (NULLIF($6, '')::timestamptz, $7::bigint))"
                                " ORDER BY e.received_at DESC, e.id DESC LIMIT $8"),
                   filter.sensor_id, filter.kind, WithoutNul(filter.policy_id), TimeText(filter.since),
                   TimeText(filter.until), before.empty() ? std::string() : before[0],
                   before.empty() ? std::string("0") : before[1], limit + 1));
    ASSIGN_OR_RETURN(std::vector<StoredEvent> events, ReadRows("list events", rows, EventFrom));
    page = MakePage(std::move(events), limit, list, KeysOf);
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<std::vector<StoredEvent>> PgStore::FollowEvents(const EventFilter& filter, int limit,
                                                               EventCursor* cursor) {
  std::vector<StoredEvent> events;
  EventCursor next;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    // Before the rows are read: every transaction below `certain` has ended by then.
    ASSIGN_OR_RETURN(const pqxx::result horizon,
                     tx.Execute("find the end of events",
                                "SELECT pg_snapshot_xmin(s), pg_snapshot_xmax(s) FROM pg_current_snapshot() s"));
    const auto certain = horizon.front()[0].as<uint64_t>();
    if (cursor->transaction > horizon.front()[1].as<uint64_t>()) {
      return InvalidField("resume_token", "is from another database than this one; watch anew, with since");
    }
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("follow events",
                                absl::StrCat(kSelect, kFilter,
                                             " AND (e.xid, e.id) > ($6::xid8, $7::bigint) AND e.xid < $8::xid8"
                                             " ORDER BY e.xid, e.id LIMIT $9"),
                                filter.sensor_id, filter.kind, WithoutNul(filter.policy_id), TimeText(filter.since),
                                TimeText(filter.until), absl::StrCat(cursor->transaction), cursor->id,
                                absl::StrCat(certain), limit));
    ASSIGN_OR_RETURN(events, ReadRows("follow events", rows, EventFrom));
    const bool more = events.size() == static_cast<size_t>(limit);
    next = more ? EventCursor{events.back().transaction, events.back().id} : EventCursor{certain, 0};
    return absl::OkStatus();
  }));
  *cursor = next;
  return events;
}

absl::StatusOr<EventCursor> PgStore::EndOfEvents() {
  EventCursor cursor;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("find the end of events", "SELECT pg_snapshot_xmin(pg_current_snapshot())"));
    cursor.transaction = rows.front()[0].as<uint64_t>();
    return absl::OkStatus();
  }));
  return cursor;
}

absl::StatusOr<Page<EventCount>> PgStore::ListEventCounts(const std::string& sensor_id, int page_size,
                                                          const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("event-counts/", sensor_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> before, DecodePageToken(list, 2, page_token));
  Page<EventCount> page;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("list counts of events",
                   "SELECT d.day, d.sensor_id, coalesce(s.name, '') AS sensor_name, sum(d.stored)::bigint AS stored,"
                   " sum(d.refused)::bigint AS refused, sum(d.lost)::bigint AS lost"
                   " FROM event_days d LEFT JOIN sensors s ON s.id = d.sensor_id"
                   " WHERE ($1 = '' OR d.sensor_id = NULLIF($1, '')::uuid)"
                   " AND ($2 = '' OR (d.day, d.sensor_id) < (NULLIF($2, '')::date, NULLIF($3, '')::uuid))"
                   " GROUP BY d.day, d.sensor_id, s.name ORDER BY d.day DESC, d.sensor_id DESC LIMIT $4",
                   sensor_id, before.empty() ? std::string() : before[0], before.empty() ? std::string() : before[1],
                   limit + 1));
    ASSIGN_OR_RETURN(std::vector<EventCount> counts, ReadRows("list counts of events", rows, [](const pqxx::row& row) {
                       return EventCount{.day = row["day"].c_str(),
                                         .sensor_id = row["sensor_id"].c_str(),
                                         .sensor_name = row["sensor_name"].c_str(),
                                         .stored = row["stored"].as<uint64_t>(),
                                         .refused = row["refused"].as<uint64_t>(),
                                         .lost = row["lost"].as<uint64_t>()};
                     }));
    page = MakePage(std::move(counts), limit, list, [](const EventCount& last) {
      return std::vector<std::string>{last.day, last.sensor_id};
    });
    return absl::OkStatus();
  }));
  return page;
}

}  // namespace bulkhead::controlplane
