// Rollouts and their targets in the database.
#include <map>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelect[] = R"(
SELECT r.id, r.state, r.kind, r.order_message, r.allow_degraded, r.max_in_flight, r.max_per_hour, r.max_failures,
       r.enforce_within_seconds, r.label_selector, r.reason, r.created_at, r.created_by, r.ordered_by, r.forgiven,
       r.halted_because, r.ended_at,
       coalesce((SELECT o.disabled FROM operators o WHERE o.name = r.ordered_by), false) AS operator_disabled
FROM rollouts r )";

// What is counted of one rollout.
constexpr char kSelectCounts[] = R"(
SELECT count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'ordered') AS ordered,
       count(*) FILTER (WHERE state = 'enforced') AS enforced, count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE ordered_at > now() - interval '1 hour') AS last_hour
FROM rollout_targets WHERE rollout_id = $1::uuid)";

constexpr char kSelectTarget[] =
    "SELECT sensor_id, sensor_name, state, message, generation, degraded_before, changed_at,"
    " extract(epoch FROM now() - ordered_at)::double precision AS since_order FROM rollout_targets t ";

// Those about which JudgeTarget may have something to say; it has the word.
constexpr char kToJudge[] = R"(
WHERE t.rollout_id = $1::uuid AND t.state IN ('ordered', 'enforced') AND NOT EXISTS (
  SELECT FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id
  WHERE s.id = t.sensor_id AND cardinality(r.critical) = 0 AND r.failed_generation < t.generation
    AND r.failed_probe = ''
    AND ($3 OR r.degraded <@ t.degraded_before)
    AND (t.state = 'enforced' OR (s.trust = 'trusted' AND r.observed_generation < t.generation
                                  AND t.ordered_at >= now() - make_interval(secs => $2::double precision))))
ORDER BY t.sensor_name)";

Rollout RolloutFrom(const pqxx::row& row) {
  Rollout rollout;
  rollout.id = row["id"].c_str();
  rollout.state = RolloutStateFrom(row["state"]);
  rollout.kind = row["kind"].c_str();
  rollout.order = BytesFrom(row["order_message"]);
  rollout.allow_degraded = row["allow_degraded"].as<bool>();
  rollout.limits = {.max_in_flight = row["max_in_flight"].as<uint32_t>(),
                    .max_per_hour = row["max_per_hour"].as<uint32_t>(),
                    .max_failures = row["max_failures"].as<uint32_t>(),
                    .enforce_within_seconds = row["enforce_within_seconds"].as<uint32_t>()};
  rollout.label_selector = row["label_selector"].c_str();
  rollout.reason = row["reason"].c_str();
  rollout.created_at = TimeFrom(row["created_at"]);
  rollout.created_by = row["created_by"].c_str();
  rollout.ordered_by = row["ordered_by"].c_str();
  rollout.forgiven = row["forgiven"].as<uint32_t>();
  rollout.halted_because = row["halted_because"].c_str();
  rollout.ended_at = OptionalTimeFrom(row["ended_at"]);
  return rollout;
}

RolloutCounts CountsFrom(const pqxx::row& row) {
  return {.pending = row["pending"].as<uint32_t>(),
          .ordered = row["ordered"].as<uint32_t>(),
          .enforced = row["enforced"].as<uint32_t>(),
          .failed = row["failed"].as<uint32_t>()};
}

RolloutTarget TargetFrom(const pqxx::row& row) {
  RolloutTarget target;
  target.sensor_id = row["sensor_id"].c_str();
  target.sensor_name = row["sensor_name"].c_str();
  target.state = RolloutTargetStateFrom(row["state"]);
  target.message = row["message"].c_str();
  target.generation = row["generation"].as<uint64_t>();
  target.degraded_before = TextArrayFrom(row["degraded_before"]);
  target.changed_at = TimeFrom(row["changed_at"]);
  return target;
}

RolloutEvidence EvidenceFrom(const pqxx::row& row) {
  return {.target = TargetFrom(row), .since_order = absl::Seconds(row["since_order"].as<double>()), .sensor = {}};
}

}  // namespace

absl::Status PgTransaction::NotifyRollout(const std::string& rollout_id) {
  return Notify({absl::StrCat(kRolloutChange, rollout_id)});
}

absl::StatusOr<std::vector<RolloutTarget>> PgTransaction::SelectTargets(const LabelSelector& selector) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("choose the sensors of a rollout",
              absl::StrCat("SELECT s.id, s.name FROM sensors s WHERE s.trust = 'trusted' AND NOT s.disabled"
                           " AND ",
                           SelectorSql(1), " ORDER BY s.name"),
              JsonText(selector.equal), TextArray({selector.present.begin(), selector.present.end()}),
              JsonTextArray(selector.differ), TextArray({selector.absent.begin(), selector.absent.end()})));
  return ReadRows("choose the sensors of a rollout", rows, [](const pqxx::row& row) {
    RolloutTarget target;
    target.sensor_id = row["id"].c_str();
    target.sensor_name = row["name"].c_str();
    return target;
  });
}

absl::Status PgTransaction::InsertRollout(const Rollout& rollout, const std::vector<RolloutTarget>& targets) {
  RETURN_IF_ERROR(
      Execute(
          "store a rollout",
          "INSERT INTO rollouts (id, kind, order_message, allow_degraded, max_in_flight, max_per_hour, max_failures,"
          " enforce_within_seconds, label_selector, reason, created_by, ordered_by)"
          " VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
          rollout.id, rollout.kind, Bytes(rollout.order), rollout.allow_degraded, rollout.limits.max_in_flight,
          rollout.limits.max_per_hour, rollout.limits.max_failures, rollout.limits.enforce_within_seconds,
          rollout.label_selector, rollout.reason, rollout.created_by)
          .status());
  std::vector<std::string> ids, names;
  for (const RolloutTarget& target : targets) {
    ids.push_back(target.sensor_id);
    names.push_back(target.sensor_name);
  }
  RETURN_IF_ERROR(Execute("store the sensors of a rollout",
                          "INSERT INTO rollout_targets (rollout_id, sensor_id, sensor_name)"
                          " SELECT $1::uuid, n.id, n.name FROM unnest($2::uuid[], $3::text[]) AS n (id, name)",
                          rollout.id, TextArray(ids), TextArray(names))
                      .status());
  return NotifyRollout(rollout.id);
}

absl::StatusOr<RolloutStanding> PgTransaction::StandingOf(const pqxx::row& row) {
  RolloutStanding standing;
  ASSIGN_OR_RETURN(standing.rollout, ReadRow("read a rollout", row, RolloutFrom));
  standing.operator_disabled = row["operator_disabled"].as<bool>();
  const std::string& id = standing.rollout.id;
  ASSIGN_OR_RETURN(const pqxx::result counts, Execute("count the sensors of a rollout", kSelectCounts, id));
  ASSIGN_OR_RETURN(standing.rollout.counts, ReadRow("count the sensors of a rollout", counts.front(), CountsFrom));
  standing.ordered_last_hour = counts.front()["last_hour"].as<uint32_t>();
  if (standing.rollout.counts.failed == 0) return standing;
  ASSIGN_OR_RETURN(const pqxx::result last,
                   Execute("read the last failure of a rollout",
                           "SELECT sensor_name || ': ' || message FROM rollout_targets WHERE rollout_id = $1::uuid"
                           " AND state = 'failed' ORDER BY changed_at DESC, sensor_name DESC LIMIT 1",
                           id));
  standing.last_failure = last.front()[0].c_str();
  return standing;
}

absl::StatusOr<Rollout> PgTransaction::GetRollout(const std::string& rollout_id, bool lock) {
  if (!IsUuid(rollout_id)) return RolloutNotFound(rollout_id);
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read a rollout", absl::StrCat(kSelect, "WHERE r.id = $1::uuid", lock ? " FOR NO KEY UPDATE OF r" : ""),
              rollout_id));
  if (rows.empty()) return RolloutNotFound(rollout_id);
  ASSIGN_OR_RETURN(const RolloutStanding standing, StandingOf(rows.front()));
  return standing.rollout;
}

absl::StatusOr<std::optional<RolloutStanding>> PgTransaction::ClaimRollout(const std::string& rollout_id) {
  // What is counted is counted behind the lock, by statements of their own, so it holds what the last driver committed.
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("claim a rollout", absl::StrCat(kSelect, "WHERE r.id = $1::uuid FOR NO KEY UPDATE OF r SKIP LOCKED"),
              rollout_id));
  if (rows.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(RolloutStanding standing, StandingOf(rows.front()));
  return standing;
}

absl::StatusOr<std::vector<std::string>> PgTransaction::OpenRollouts() {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("list open rollouts",
                           "SELECT id FROM rollouts WHERE state = 'running'"
                           " UNION SELECT rollout_id FROM rollout_targets WHERE state = 'ordered'"));
  return ReadRows("list open rollouts", rows, [](const pqxx::row& row) { return std::string(row[0].c_str()); });
}

absl::StatusOr<Page<Rollout>> PgTransaction::ListRollouts(int page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = "rollouts";
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 2, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute(
          "list rollouts",
          absl::StrCat(kSelect,
                       "WHERE ($1 = '' OR (r.created_at, r.id) < (NULLIF($1, '')::timestamptz, NULLIF($2, '')::uuid))"
                       " ORDER BY r.created_at DESC, r.id DESC LIMIT $3"),
          after.empty() ? std::string() : after[0], after.empty() ? std::string() : after[1], limit + 1));
  std::vector<Rollout> rollouts;
  for (const pqxx::row& row : rows) {
    ASSIGN_OR_RETURN(RolloutStanding standing, StandingOf(row));
    rollouts.push_back(std::move(standing.rollout));
  }
  return MakePage(std::move(rollouts), limit, list, [](const Rollout& last) {
    return std::vector<std::string>{TimeText(last.created_at), last.id};
  });
}

absl::StatusOr<Page<RolloutTarget>> PgTransaction::ListRolloutTargets(const std::string& rollout_id,
                                                                      std::optional<RolloutTargetState> state,
                                                                      int page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string wanted = state ? ToText(*state) : "";
  const std::string list = absl::StrCat("rollout-targets/", rollout_id, "/", wanted);
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 1, page_token));
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("list the sensors of a rollout",
                           absl::StrCat(kSelectTarget,
                                        "WHERE t.rollout_id = $1::uuid AND ($2 = '' OR t.state = $2)"
                                        " AND t.sensor_name > $3 ORDER BY t.sensor_name LIMIT $4"),
                           rollout_id, wanted, after.empty() ? std::string() : after[0], limit + 1));
  ASSIGN_OR_RETURN(std::vector<RolloutTarget> targets, ReadRows("list the sensors of a rollout", rows, TargetFrom));
  return MakePage(std::move(targets), limit, list,
                  [](const RolloutTarget& last) { return std::vector<std::string>{last.sensor_name}; });
}

absl::StatusOr<std::vector<RolloutEvidence>> PgTransaction::TargetsToJudge(const Rollout& rollout) {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("look at the sensors of a rollout", absl::StrCat(kSelectTarget, kToJudge), rollout.id,
                           rollout.limits.enforce_within_seconds, rollout.allow_degraded));
  ASSIGN_OR_RETURN(std::vector<RolloutEvidence> evidence,
                   ReadRows("look at the sensors of a rollout", rows, EvidenceFrom));
  std::map<std::string, RolloutEvidence*> by_sensor;
  std::vector<std::string> ids;
  for (RolloutEvidence& item : evidence) {
    ids.push_back(item.target.sensor_id);
    by_sensor[ids.back()] = &item;
  }
  ASSIGN_OR_RETURN(std::vector<Sensor> sensors, SensorsById(ids));
  for (Sensor& sensor : sensors) by_sensor.at(sensor.id)->sensor = std::move(sensor);
  return evidence;
}

absl::StatusOr<std::optional<RolloutTarget>> PgTransaction::NextPendingTarget(const std::string& rollout_id) {
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("find the next sensor of a rollout",
                                                    absl::StrCat(kSelectTarget,
                                                                 "WHERE t.rollout_id = $1::uuid AND t.state = 'pending'"
                                                                 " ORDER BY t.sensor_name LIMIT 1"),
                                                    rollout_id));
  if (rows.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(RolloutTarget target, ReadRow("find the next sensor of a rollout", rows.front(), TargetFrom));
  return target;
}

absl::Status PgTransaction::MarkTargetOrdered(const std::string& rollout_id, const std::string& sensor_id,
                                              uint64_t generation) {
  RETURN_IF_ERROR(Execute("mark a sensor ordered",
                          "UPDATE rollout_targets SET state = 'ordered', generation = $3, ordered_at = now(),"
                          " changed_at = now(), degraded_before ="
                          " coalesce((SELECT degraded FROM sensor_reports WHERE sensor_id = $2::uuid), '{}')"
                          " WHERE rollout_id = $1::uuid AND sensor_id = $2::uuid",
                          rollout_id, sensor_id, generation)
                      .status());
  return NotifyRollout(rollout_id);
}

absl::Status PgTransaction::MarkTarget(const std::string& rollout_id, const std::string& sensor_id,
                                       const TargetVerdict& verdict) {
  RETURN_IF_ERROR(Execute("mark a sensor of a rollout",
                          "UPDATE rollout_targets SET state = $3, message = $4, changed_at = clock_timestamp()"
                          " WHERE rollout_id = $1::uuid AND sensor_id = $2::uuid",
                          rollout_id, sensor_id, ToText(verdict.state), WithoutNul(verdict.message))
                      .status());
  return NotifyRollout(rollout_id);
}

absl::Status PgTransaction::UpdateRollout(const Rollout& rollout) {
  RETURN_IF_ERROR(Execute("change a rollout",
                          "UPDATE rollouts SET state = $2, halted_because = $3, ordered_by = $4, forgiven = $5,"
                          " ended_at = CASE WHEN $2 IN ('done', 'cancelled') THEN coalesce(ended_at, now()) END"
                          " WHERE id = $1::uuid",
                          rollout.id, ToText(rollout.state), WithoutNul(rollout.halted_because), rollout.ordered_by,
                          rollout.forgiven)
                      .status());
  return NotifyRollout(rollout.id);
}

}  // namespace bulkhead::controlplane
