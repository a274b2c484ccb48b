// Enforcement policies in the database.
#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelect[] =
    "SELECT id, name, sensor_id, template, action, binary_path, binary_sha256, kill_running, forced, created_at,"
    " created_by, etag, expires_at, on_expiry, on_unreachable, scope_kind, scope_name,"
    " allow_learn, allow_binaries, signed_order, list_name, list_size, list_sha256 FROM enforcement_policies ";

// One element of allow_binaries; see migration 0009.
std::string AllowedText(const AllowedBinary& binary) {
  return absl::StrCat(ToHex(binary.sha256), " ", binary.path);
}

AllowedBinary AllowedFrom(const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos)
    throw pqxx::conversion_error("column allow_binaries holds an element without a space");
  return {text.substr(space + 1), absl::HexStringToBytes(text.substr(0, space))};
}

std::vector<std::string> AllowedTexts(const AllowList& list) {
  std::vector<std::string> texts;
  for (const AllowedBinary& binary : list.binaries) texts.push_back(AllowedText(binary));
  return texts;
}

}  // namespace

Policy PolicyFrom(const pqxx::row& row) {
  Policy policy;
  policy.id = row["id"].c_str();
  policy.name = row["name"].c_str();
  policy.sensor_id = row["sensor_id"].c_str();
  policy.policy_template = PolicyTemplateFrom(row["template"]);
  policy.action = PolicyActionFrom(row["action"]);
  policy.binary_path = row["binary_path"].c_str();
  policy.binary_sha256 = BytesFrom(row["binary_sha256"]);
  policy.kill_running = row["kill_running"].as<bool>();
  policy.forced = row["forced"].as<bool>();
  policy.created_at = TimeFrom(row["created_at"]);
  policy.created_by = row["created_by"].c_str();
  policy.etag = row["etag"].c_str();
  policy.expires_at = OptionalTimeFrom(row["expires_at"]);
  policy.on_expiry = OnExpiryFrom(row["on_expiry"]);
  policy.on_unreachable = OnUnreachableFrom(row["on_unreachable"]);
  if (*row["scope_kind"].c_str() != '\0') {
    policy.scope = Scope{ScopeKindFrom(row["scope_kind"]), row["scope_name"].c_str()};
  }
  policy.allow_list.learn = row["allow_learn"].as<bool>();
  for (const std::string& text : TextArrayFrom(row["allow_binaries"])) {
    policy.allow_list.binaries.push_back(AllowedFrom(text));
  }
  policy.block_list.name = row["list_name"].c_str();
  policy.block_list.size = row["list_size"].as<uint32_t>();
  if (!row["list_sha256"].is_null()) policy.block_list.sha256 = BytesFrom(row["list_sha256"]);
  if (!row["signed_order"].is_null()) policy.signed_order = BytesFrom(row["signed_order"]);
  return policy;
}

// One lock for all lists: an order may put one and remove another.
absl::Status PgTransaction::LockBlockLists() {
  return Execute("lock the block-lists", "SELECT pg_advisory_xact_lock(4886718345218)").status();
}

absl::Status PgTransaction::PutBlockList(const BlockList& list) {
  if (list.name.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(LockBlockLists());
  return Execute("store a block-list",
                 "INSERT INTO block_lists (sha256, size, binaries) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                 Bytes(list.sha256), list.size, list.text)
      .status();
}

absl::Status PgTransaction::RemoveUnusedBlockList(const std::string& sha256) {
  RETURN_IF_ERROR(LockBlockLists());
  return Execute("remove a block-list",
                 "DELETE FROM block_lists l WHERE l.sha256 = $1"
                 " AND NOT EXISTS (SELECT FROM enforcement_policies p WHERE p.list_sha256 = l.sha256)",
                 Bytes(sha256))
      .status();
}

absl::Status PgTransaction::InsertPolicy(const Policy& policy) {
  RETURN_IF_ERROR(PutBlockList(policy.block_list));
  return Execute(
             "store a policy",
             "INSERT INTO enforcement_policies (id, sensor_id, name, template, action, binary_path, binary_sha256,"
             " kill_running, forced, created_by, etag, expires_at, on_expiry, on_unreachable, scope_kind, scope_name,"
             " allow_learn, allow_binaries, signed_order, list_name, list_size, list_sha256)"
             " VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULLIF($12, '')::timestamptz,"
             " $13, $14, $15, $16, $17, $18::text[], NULLIF($19, ''::bytea), $20, $21, NULLIF($22, ''::bytea))",
             policy.id, policy.sensor_id, policy.name, ToText(policy.policy_template), ToText(policy.action),
             policy.binary_path, Bytes(policy.binary_sha256), policy.kill_running, policy.forced, policy.created_by,
             policy.etag, TimeText(policy.expires_at), ToText(policy.on_expiry), ToText(policy.on_unreachable),
             policy.scope ? ToText(policy.scope->kind) : std::string(),
             policy.scope ? policy.scope->name : std::string(), policy.allow_list.learn,
             TextArray(AllowedTexts(policy.allow_list)), Bytes(policy.signed_order), policy.block_list.name,
             policy.block_list.size, Bytes(policy.block_list.sha256))
      .status();
}

absl::StatusOr<Policy> PgTransaction::GetPolicy(const std::string& policy_id) {
  if (!IsUuid(policy_id)) return PolicyNotFound(policy_id);
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read a policy", absl::StrCat(kSelect, "WHERE id = $1::uuid"), policy_id));
  if (rows.empty()) return PolicyNotFound(policy_id);
  return ReadRow("read a policy", rows.front(), PolicyFrom);
}

absl::Status PgTransaction::DeletePolicy(const std::string& policy_id) {
  ASSIGN_OR_RETURN(const pqxx::result deleted,
                   Execute("delete a policy",
                           "DELETE FROM enforcement_policies WHERE id = $1::uuid RETURNING list_sha256", policy_id));
  if (deleted.empty()) return PolicyNotFound(policy_id);
  const pqxx::field list = deleted.front()[0];
  return list.is_null() ? absl::OkStatus() : RemoveUnusedBlockList(BytesFrom(list));
}

absl::StatusOr<std::vector<Policy>> PgTransaction::ExpiredPolicies(absl::Time now, int limit) {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read expired policies",
                           absl::StrCat(kSelect,
                                        "WHERE on_expiry = 'release' AND expires_at <= $1::timestamptz"
                                        " ORDER BY expires_at, id LIMIT $2"),
                           TimeText(now), limit));
  return ReadRows("read expired policies", rows, PolicyFrom);
}

absl::StatusOr<Page<Policy>> PgTransaction::ListPolicies(const std::string& sensor_id, int page_size,
                                                         const std::string& page_token) {
  if (!sensor_id.empty() && !IsUuid(sensor_id)) return SensorNotFound(sensor_id);
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = absl::StrCat("policies/", sensor_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 2, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list policies",
              absl::StrCat(kSelect,
                           "WHERE ($1 = '' OR sensor_id = NULLIF($1, '')::uuid)"
                           " AND ($2 = '' OR (created_at, id) < (NULLIF($2, '')::timestamptz, NULLIF($3, '')::uuid))"
                           " ORDER BY created_at DESC, id DESC LIMIT $4"),
              sensor_id, after.empty() ? std::string() : after[0], after.empty() ? std::string() : after[1],
              limit + 1));
  ASSIGN_OR_RETURN(std::vector<Policy> policies, ReadRows("list policies", rows, PolicyFrom));
  return MakePage(std::move(policies), limit, list, [](const Policy& last) {
    return std::vector<std::string>{TimeText(last.created_at), last.id};
  });
}

absl::StatusOr<std::vector<Policy>> PgTransaction::PoliciesOf(const std::vector<std::string>& sensor_ids) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read policies",
              absl::StrCat(kSelect, "WHERE sensor_id = ANY($1::uuid[]) ORDER BY sensor_id, created_at, id"),
              TextArray(sensor_ids)));
  return ReadRows("read policies", rows, PolicyFrom);
}

absl::Status PgTransaction::AttachPolicies(std::vector<Sensor>* sensors) {
  std::vector<std::string> ids;
  for (const Sensor& sensor : *sensors) ids.push_back(sensor.id);
  ASSIGN_OR_RETURN(std::vector<Policy> policies, PoliciesOf(ids));
  absl::flat_hash_map<std::string, Sensor*> by_id;
  for (Sensor& sensor : *sensors) by_id[sensor.id] = &sensor;
  for (Policy& policy : policies) {
    const auto owner = by_id.find(policy.sensor_id);
    if (owner != by_id.end()) owner->second->policies.push_back(std::move(policy));
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
