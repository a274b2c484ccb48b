// Who holds a sensor's stream: leases of replicas, and the epochs that fence what a stream writes.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// A run that has the same name and is not this one is over: names are unique among replicas. Only at the first call,
// so that two replicas that were given one name by mistake do not end each other for ever.
// Committed without waiting for standbys: a lease that is lost in a failover is renewed at once.
constexpr char kRenewReplica[] = R"(
WITH renewed AS (
  INSERT INTO replicas (id, name, lease_until)
  VALUES ($1::uuid, $2, now() + make_interval(secs => $3::double precision))
  ON CONFLICT ON CONSTRAINT replicas_pkey DO UPDATE SET lease_until = excluded.lease_until
  RETURNING id, xmax = 0 AS is_new),
ended AS (
  DELETE FROM replicas r USING renewed n
  WHERE r.id <> n.id AND ((n.is_new AND r.name = $2) OR r.lease_until < now() - interval '1 hour'))
SELECT clock_timestamp(), set_config('synchronous_commit', 'local', true))";

// An instance that is in the list and not its head has come back after another. A host that is set back to a snapshot
// of its memory does so too, once: hence the count, and that it begins anew after a day.
//
// The epoch is what fences, so it must be on disk before the stream says anything: never with synchronous_commit off.
constexpr char kOpenSession[] = R"(
UPDATE sensor_reports r SET session_epoch = r.session_epoch + 1, session_holder = $2::uuid,
  report_number = 0,
  instances = CASE WHEN $4 = '' OR r.instances[1] = $4 THEN r.instances
                   ELSE ($4 || array_remove(r.instances, $4))[1:8] END,
  instance_returns = CASE WHEN $4 = '' OR r.instances[1] = $4 OR NOT $4 = ANY (r.instances) THEN r.instance_returns
                          WHEN r.instance_returned_at > now() - interval '1 day' THEN r.instance_returns + 1
                          ELSE 1 END,
  instance_returned_at = CASE WHEN $4 <> '' AND r.instances[1] <> $4 AND $4 = ANY (r.instances) THEN now()
                              ELSE r.instance_returned_at END
FROM (SELECT session_holder FROM sensor_reports WHERE sensor_id = $1::uuid FOR NO KEY UPDATE) older
WHERE r.sensor_id = $1::uuid
RETURNING r.session_epoch,
  CASE WHEN older.session_holder <> $2::uuid
            AND EXISTS (SELECT FROM replicas h WHERE h.id = older.session_holder AND h.lease_until > now())
       THEN pg_notify($3, r.sensor_id::text)::text END)";

constexpr char kListHeldStreams[] = R"(
SELECT r.sensor_id, r.session_epoch, s.trust, s.desired_generation, q.sensor_id IS NOT NULL AS queued_commands
FROM sensor_reports r JOIN sensors s ON s.id = r.sensor_id
LEFT JOIN (SELECT DISTINCT sensor_id FROM commands WHERE finished_at IS NULL AND state = 'queued') q
  ON q.sensor_id = r.sensor_id
WHERE r.session_holder = $1::uuid)";

HeldStream HeldStreamFrom(const pqxx::row& row) {
  HeldStream stream;
  stream.owner = {.sensor_id = row["sensor_id"].c_str(), .epoch = row["session_epoch"].as<int64_t>()};
  stream.trust = TrustFrom(row["trust"]);
  stream.generation = row["desired_generation"].as<uint64_t>();
  stream.queued_commands = row["queued_commands"].as<bool>();
  return stream;
}

}  // namespace

OrderedState OrderedStateFrom(const pqxx::row& row) {
  return {.trust = TrustFrom(row["trust"]),
          .generation = row["desired_generation"].as<uint64_t>(),
          .digest = BytesFrom(row["desired_digest"]),
          .open_commands = row["open_commands"].as<bool>()};
}

absl::StatusOr<OrderedState> PgTransaction::CheckOwnership(const Ownership& owner, bool hold) {
  if (!IsUuid(owner.sensor_id)) return SensorNotFound(owner.sensor_id);
  // SHARE waits for a stream that is taking over, and makes one wait.
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("check who owns a sensor",
              absl::StrCat("SELECT s.trust, s.desired_generation, s.desired_digest, r.session_epoch = $2 AS owned,"
                           " EXISTS (SELECT FROM commands c WHERE c.sensor_id = s.id AND c.finished_at IS NULL)"
                           " AS open_commands"
                           " FROM sensor_reports r JOIN sensors s ON s.id = r.sensor_id WHERE r.sensor_id = $1::uuid",
                           hold ? " FOR SHARE OF r" : ""),
              owner.sensor_id, owner.epoch));
  if (rows.empty()) return SensorNotFound(owner.sensor_id);
  if (!rows.front()["owned"].as<bool>()) return StreamSuperseded();
  return ReadRow("check who owns a sensor", rows.front(), OrderedStateFrom);
}

absl::StatusOr<absl::Time> PgStore::RenewReplica(const std::string& run_id, const std::string& name,
                                                 absl::Duration lease) {
  absl::Time now;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows,
                     tx.Execute("renew a replica's lease", kRenewReplica, run_id, name, absl::ToDoubleSeconds(lease)));
    ASSIGN_OR_RETURN(
        now, ReadRow("renew a replica's lease", rows.front(), [](const pqxx::row& row) { return TimeFrom(row[0]); }));
    return absl::OkStatus();
  }));
  return now;
}

absl::Status PgStore::EndReplica(const std::string& run_id) {
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("end a replica's lease",
                 "DELETE FROM replicas WHERE id = $1::uuid RETURNING set_config('synchronous_commit', 'local', true)",
                 run_id)
        .status();
  });
}

absl::StatusOr<Ownership> PgStore::OpenSession(const std::string& sensor_id, const std::string& run_id,
                                               const std::string& instance) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  Ownership owner{.sensor_id = sensor_id};
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows, tx.Execute("open a session", kOpenSession, sensor_id, run_id,
                                                         kChangeChannel, WithoutNul(instance)));
    if (rows.empty()) return SensorNotFound(sensor_id);
    owner.epoch = rows.front()[0].as<int64_t>();
    return absl::OkStatus();
  }));
  return owner;
}

absl::Status PgStore::CloseSession(const Ownership& owner) {
  if (!IsUuid(owner.sensor_id)) return SensorNotFound(owner.sensor_id);
  return RunPg([&](PgTransaction& tx) {
    return tx
        .Execute("close a session",
                 "UPDATE sensor_reports SET session_holder = NULL WHERE sensor_id = $1::uuid AND session_epoch = $2",
                 owner.sensor_id, owner.epoch)
        .status();
  });
}

absl::StatusOr<std::vector<HeldStream>> PgStore::ListHeldStreams(const std::string& run_id) {
  std::vector<HeldStream> streams;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows, tx.Execute("list a replica's streams", kListHeldStreams, run_id));
    ASSIGN_OR_RETURN(streams, ReadRows("list a replica's streams", rows, HeldStreamFrom));
    return absl::OkStatus();
  }));
  return streams;
}

}  // namespace bulkhead::controlplane
