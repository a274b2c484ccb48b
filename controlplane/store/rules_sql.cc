// Isolation rules in the database.
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

constexpr char kSelect[] =
    "SELECT id, remote::text AS remote, first_port, last_port, protocol, direction, description, created_at, "
    "created_by FROM rules ";

IpPrefix PrefixFrom(const pqxx::field& field) {
  if (field.is_null()) return IpPrefix();
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(field.c_str());
  if (!prefix.ok()) throw pqxx::conversion_error(std::string(prefix.status().message()));
  return *prefix;
}

IsolationRule RuleFrom(const pqxx::row& row) {
  IsolationRule rule;
  rule.id = row["id"].c_str();
  rule.remote = PrefixFrom(row["remote"]);
  rule.first_port = static_cast<uint16_t>(row["first_port"].as<int>());
  rule.last_port = static_cast<uint16_t>(row["last_port"].as<int>());
  rule.protocol = static_cast<uint8_t>(row["protocol"].as<int>());
  rule.direction = DirectionFrom(row["direction"]);
  rule.description = row["description"].c_str();
  rule.created_at = TimeFrom(row["created_at"]);
  rule.created_by = row["created_by"].c_str();
  return rule;
}

}  // namespace

absl::Status PgTransaction::LockRules(bool exclusive) {
  // Held until the end: once is enough.
  if (rules_locked_exclusively_ || (rules_locked_ && !exclusive)) return absl::OkStatus();
  // Any number that nothing else in this database uses.
  RETURN_IF_ERROR(Execute("lock the isolation rules", exclusive ? "SELECT pg_advisory_xact_lock(4886718345217)"
                                                                : "SELECT pg_advisory_xact_lock_shared(4886718345217)")
                      .status());
  (exclusive ? rules_locked_exclusively_ : rules_locked_) = true;
  return absl::OkStatus();
}

absl::Status PgTransaction::InsertIsolationRule(const IsolationRule& rule) {
  RETURN_IF_ERROR(LockRules(/*exclusive=*/true));
  const std::string remote = rule.remote.is_any() ? std::string() : rule.remote.ToString();
  ASSIGN_OR_RETURN(const pqxx::result inserted,
                   Execute("store an isolation rule",
                           "INSERT INTO rules (id, remote, first_port, last_port, protocol, direction, description, "
                           "created_at, created_by)"
                           " VALUES ($1::uuid, NULLIF($2, '')::cidr, $3, $4, $5, $6, $7, $8::timestamptz, $9)"
                           " ON CONFLICT ON CONSTRAINT rules_meaning_key DO NOTHING",
                           rule.id, remote, static_cast<int>(rule.first_port), static_cast<int>(rule.last_port),
                           static_cast<int>(rule.protocol), ToText(rule.direction), rule.description,
                           TimeText(rule.created_at), rule.created_by));
  return inserted.affected_rows() == 0 ? DuplicateIsolationRule() : absl::OkStatus();
}

absl::StatusOr<IsolationRule> PgTransaction::GetIsolationRule(const std::string& rule_id) {
  if (!IsUuid(rule_id)) return IsolationRuleNotFound(rule_id);
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read an isolation rule", absl::StrCat(kSelect, "WHERE id = $1::uuid"), rule_id));
  if (rows.empty()) return IsolationRuleNotFound(rule_id);
  return ReadRow("read an isolation rule", rows.front(), RuleFrom);
}

absl::Status PgTransaction::DeleteIsolationRule(const std::string& rule_id) {
  RETURN_IF_ERROR(LockRules(/*exclusive=*/true));
  ASSIGN_OR_RETURN(const pqxx::result deleted,
                   Execute("delete an isolation rule", "DELETE FROM rules WHERE id = $1::uuid", rule_id));
  return deleted.affected_rows() == 0 ? IsolationRuleNotFound(rule_id) : absl::OkStatus();
}

absl::StatusOr<Page<IsolationRule>> PgTransaction::ListIsolationRules(int page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = "rules";
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 2, page_token));
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("list isolation rules",
              absl::StrCat(kSelect,
                           "WHERE ($1 = '' OR (created_at, id) > (NULLIF($1, '')::timestamptz, NULLIF($2, '')::uuid))"
                           " ORDER BY created_at, id LIMIT $3"),
              after.empty() ? std::string() : after[0], after.empty() ? std::string() : after[1], limit + 1));
  ASSIGN_OR_RETURN(std::vector<IsolationRule> rules, ReadRows("list isolation rules", rows, RuleFrom));
  return MakePage(std::move(rules), limit, list, [](const IsolationRule& last) {
    return std::vector<std::string>{TimeText(last.created_at), last.id};
  });
}

absl::StatusOr<int64_t> PgTransaction::CountIsolationRules() {
  // Counting is asked for before adding; the lock keeps two replicas from both finding room for the last one.
  RETURN_IF_ERROR(LockRules(/*exclusive=*/true));
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("count isolation rules", "SELECT count(*) FROM rules"));
  return rows.front()[0].as<int64_t>();
}

absl::StatusOr<std::vector<IsolationRule>> PgTransaction::AllIsolationRules() {
  ASSIGN_OR_RETURN(const pqxx::result rows,
                   Execute("read the isolation rules", absl::StrCat(kSelect, "ORDER BY created_at, id")));
  return ReadRows("read the isolation rules", rows, RuleFrom);
}

}  // namespace bulkhead::controlplane
