// The desired state of sensors: read whole, and raised to the next generation.
#include <map>

#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/desired_state_digest.h"
#include "controlplane/domain/errors.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {

namespace {

Policy PolicyToSend(const pqxx::row& row) {
  Policy policy = PolicyFrom(row);
  if (!row["binaries"].is_null()) policy.block_list.text = row["binaries"].c_str();
  return policy;
}

}  // namespace

absl::StatusOr<DesiredState> PgTransaction::GetDesiredState(const std::string& sensor_id) {
  if (!IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  // One statement sees one state of the sensor and its policies; the lock holds the rules still until they are read
  // too.
  RETURN_IF_ERROR(LockRules(/*exclusive=*/false));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read a desired state",
              "SELECT s.desired_generation, s.desired_digest, p.id, p.name, p.sensor_id, p.template, p.action,"
              " p.binary_path, p.binary_sha256, p.kill_running, p.forced, p.created_at, p.created_by, p.etag,"
              " p.expires_at, p.on_expiry, p.on_unreachable, p.scope_kind, p.scope_name,"
              " p.allow_learn, p.allow_binaries, p.signed_order, p.list_name, p.list_size, p.list_sha256, l.binaries"
              " FROM sensors s LEFT JOIN enforcement_policies p ON p.sensor_id = s.id"
              " LEFT JOIN block_lists l ON l.sha256 = p.list_sha256"
              " WHERE s.id = $1::uuid ORDER BY p.created_at, p.id",
              sensor_id));
  if (rows.empty()) return SensorNotFound(sensor_id);
  DesiredState state;
  state.sensor_id = sensor_id;
  state.generation = rows.front()["desired_generation"].as<uint64_t>();
  state.digest = BytesFrom(rows.front()["desired_digest"]);
  if (!rows.front()["id"].is_null()) {
    ASSIGN_OR_RETURN(state.policies, ReadRows("read a desired state", rows, PolicyToSend));
  }
  if (ReadsIsolationRules(state.policies)) {
    ASSIGN_OR_RETURN(state.isolation_rules, AllIsolationRules());
  }
  ASSIGN_OR_RETURN(state.signed_releases, SignedReleases(sensor_id));
  return state;
}

absl::Status PgTransaction::BumpGeneration(const std::string& sensor_id) {
  RETURN_IF_ERROR(LockRules(/*exclusive=*/false));
  ASSIGN_OR_RETURN(const pqxx::result locked,
                   Execute("lock a sensor", "SELECT 1 FROM sensors WHERE id = $1::uuid FOR NO KEY UPDATE", sensor_id));
  if (locked.empty()) return SensorNotFound(sensor_id);
  ASSIGN_OR_RETURN(const std::vector<Policy> policies, PoliciesOf({sensor_id}));
  std::vector<IsolationRule> rules;
  if (ReadsIsolationRules(policies)) {
    ASSIGN_OR_RETURN(rules, AllIsolationRules());
  }
  const std::string digest = DesiredStateDigest(sensor_id, policies, IsolationRulesDigest(rules));
  return Execute("raise a generation",
                 "UPDATE sensors SET desired_generation = desired_generation + 1, revision = revision + 1,"
                 " desired_digest = $2 WHERE id = $1::uuid RETURNING pg_notify($3, id::text)::text",
                 sensor_id, Bytes(digest), kChangeChannel)
      .status();
}

absl::StatusOr<uint32_t> PgTransaction::BumpIsolatedSensors() {
  RETURN_IF_ERROR(LockRules(/*exclusive=*/true));
  ASSIGN_OR_RETURN(
      const pqxx::result isolated,
      Execute("lock the isolated sensors",
              "SELECT s.id FROM sensors s WHERE EXISTS (SELECT FROM enforcement_policies p WHERE p.sensor_id = s.id"
              " AND p.template = 'network-isolation') ORDER BY s.id FOR NO KEY UPDATE OF s"));
  if (isolated.empty()) return 0;
  std::vector<std::string> ids;
  for (const pqxx::row& row : isolated) ids.push_back(row[0].c_str());
  ASSIGN_OR_RETURN(const std::vector<IsolationRule> rules, AllIsolationRules());
  const std::string rules_digest = IsolationRulesDigest(rules);
  ASSIGN_OR_RETURN(const std::vector<Policy> policies, PoliciesOf(ids));
  std::map<std::string, std::vector<Policy>> by_sensor;
  for (const Policy& policy : policies) by_sensor[policy.sensor_id].push_back(policy);
  std::vector<std::string> digests;
  for (const std::string& id : ids) digests.push_back(ToHex(DesiredStateDigest(id, by_sensor[id], rules_digest)));
  RETURN_IF_ERROR(Execute("raise the generation of isolated sensors",
                          "UPDATE sensors s SET desired_generation = desired_generation + 1, revision = revision + 1,"
                          " desired_digest = decode(n.digest, 'hex')"
                          " FROM unnest($1::uuid[], $2::text[]) AS n (id, digest) WHERE s.id = n.id",
                          TextArray(ids), TextArray(digests))
                      .status());
  RETURN_IF_ERROR(Notify(ids));
  return static_cast<uint32_t>(ids.size());
}

}  // namespace bulkhead::controlplane
