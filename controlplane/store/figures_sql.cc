// What monitoring asks of the database.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_store.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

// One statement, so one moment. Each row: what is counted, by what, and by what else.
constexpr char kFigures[] = R"(
SELECT 'open_commands' AS what, state AS a, '' AS b, count(*) AS n
  FROM commands WHERE finished_at IS NULL GROUP BY state
UNION ALL
SELECT 'finished_commands', state, '', count(*)
  FROM commands WHERE finished_at > now() - interval '1 hour' GROUP BY state
UNION ALL
SELECT 'policies', template, CASE WHEN enforced_at IS NULL THEN 'pending' ELSE 'enforced' END, count(*)
  FROM enforcement_policies GROUP BY 2, 3
UNION ALL
SELECT 'rollouts', state, '', count(*) FROM rollouts GROUP BY state
UNION ALL
SELECT 'open_rollout_targets', t.state, '', count(*)
  FROM rollouts r JOIN rollout_targets t ON t.rollout_id = r.id WHERE r.ended_at IS NULL GROUP BY t.state
UNION ALL
SELECT 'replicas', '', '', count(*) FROM replicas WHERE lease_until > now()
UNION ALL
SELECT 'audit_head', '', '', sequence FROM audit_heads)";

void Take(const pqxx::row& row, StoredFigures* figures) {
  const std::string what = row["what"].c_str();
  const std::string a = row["a"].c_str();
  const int64_t n = row["n"].as<int64_t>();
  if (what == "open_commands") figures->open_commands[a] = n;
  if (what == "finished_commands") figures->finished_commands[a] = n;
  if (what == "policies") figures->policies[{a, row["b"].c_str()}] = n;
  if (what == "rollouts") figures->rollouts[a] = n;
  if (what == "open_rollout_targets") figures->open_rollout_targets[a] = n;
  if (what == "replicas") figures->replicas = n;
  if (what == "audit_head") figures->audit_head = static_cast<uint64_t>(n);
}

// The stream's epoch fences it, and the generation says that the receipt is about all that is ordered now. Both times
// are the database's, so replicas whose clocks differ agree.
constexpr char kRecordEnforced[] = R"(
UPDATE enforcement_policies p SET enforced_at = now()
FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id
WHERE s.id = $1::uuid AND r.session_epoch = $2 AND s.desired_generation = $3 AND s.desired_digest = $4
  AND p.sensor_id = s.id AND p.enforced_at IS NULL AND p.id = ANY ($5::uuid[])
RETURNING p.template, extract(epoch FROM now() - p.created_at)::double precision AS seconds)";

}  // namespace

absl::StatusOr<StoredFigures> PgStore::ReadFigures() {
  StoredFigures figures;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    figures = StoredFigures();
    ASSIGN_OR_RETURN(const pqxx::result rows, tx.Execute("count for monitoring", kFigures));
    for (const pqxx::row& row : rows) Take(row, &figures);
    return absl::OkStatus();
  }));
  return figures;
}

absl::StatusOr<std::vector<NewlyEnforced>> PgStore::RecordEnforced(const Ownership& owner, uint64_t generation,
                                                                   const std::string& digest,
                                                                   const std::vector<std::string>& policy_ids) {
  if (!IsUuid(owner.sensor_id)) return SensorNotFound(owner.sensor_id);
  std::vector<std::string> ids;
  for (const std::string& id : policy_ids) {
    if (IsUuid(id)) ids.push_back(id);  // a sensor says what it likes
  }
  std::vector<NewlyEnforced> enforced;
  RETURN_IF_ERROR(RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const pqxx::result rows, tx.Execute("mark policies enforced", kRecordEnforced, owner.sensor_id,
                                                         owner.epoch, generation, Bytes(digest), TextArray(ids)));
    ASSIGN_OR_RETURN(enforced, ReadRows("mark policies enforced", rows, [](const pqxx::row& row) {
                       return NewlyEnforced{.policy_template = PolicyTemplateFrom(row["template"]),
                                            .since_order = absl::Seconds(row["seconds"].as<double>())};
                     }));
    return absl::OkStatus();
  }));
  return enforced;
}

absl::Status PgStore::CheckSchema() {
  return RunPg([&](PgTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const pqxx::result rows,
        tx.Execute("check the schema", "SELECT count(*) FROM schema_migrations WHERE version <= $1", migrations_));
    const auto applied = rows.front()[0].as<size_t>();
    if (applied == migrations_) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("the database has ", applied, " of this program's ", migrations_,
                     " migrations: was it restored from an old backup? A restart of the control plane applies them"));
  });
}

}  // namespace bulkhead::controlplane
