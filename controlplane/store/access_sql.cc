// Roles and operators in the database.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/store/paging.h"
#include "controlplane/store/pg_transaction.h"
#include "controlplane/store/pg_values.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kSelectRole[] = "SELECT name, permissions, created_by, created_at FROM roles ";
constexpr char kSelectOperator[] =
    "SELECT o.name, o.role, o.disabled, o.created_at, coalesce(r.permissions, '{}') AS permissions"
    " FROM operators o LEFT JOIN roles r ON r.name = o.role ";

Role RoleFrom(const pqxx::row& row) {
  return {.name = row["name"].c_str(),
          .permissions = TextArrayFrom(row["permissions"]),
          .created_by = row["created_by"].c_str(),
          .created_at = TimeFrom(row["created_at"])};
}

Operator OperatorFrom(const pqxx::row& row) {
  return {.name = row["name"].c_str(),
          .role = row["role"].c_str(),
          .disabled = row["disabled"].as<bool>(),
          .permissions = TextArrayFrom(row["permissions"]),
          .created_at = TimeFrom(row["created_at"])};
}

}  // namespace

absl::StatusOr<std::vector<Role>> PgTransaction::ListRoles() {
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("list roles", absl::StrCat(kSelectRole, "ORDER BY name")));
  return ReadRows("list roles", rows, RoleFrom);
}

absl::StatusOr<Role> PgTransaction::GetRole(const std::string& name, bool hold) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read a role", absl::StrCat(kSelectRole, "WHERE name = $1", hold ? " FOR SHARE" : ""), WithoutNul(name)));
  if (rows.empty()) return RoleNotFound(name);
  return ReadRow("read a role", rows.front(), RoleFrom);
}

absl::Status PgTransaction::InsertRole(const Role& role) {
  ASSIGN_OR_RETURN(const pqxx::result made,
                   Execute("make a role",
                           "INSERT INTO roles (name, permissions, created_by) VALUES ($1, $2::text[], $3)"
                           " ON CONFLICT ON CONSTRAINT roles_pkey DO NOTHING",
                           role.name, TextArray(role.permissions), role.created_by));
  return made.affected_rows() == 0 ? RoleNameTaken(role.name) : absl::OkStatus();
}

absl::Status PgTransaction::DeleteRole(const std::string& name) {
  // The lock waits for whoever is just giving the role to an operator (GetRole with `hold`).
  ASSIGN_OR_RETURN(const pqxx::result locked,
                   Execute("lock a role", "SELECT FROM roles WHERE name = $1 FOR UPDATE", WithoutNul(name)));
  if (locked.empty()) return RoleNotFound(name);
  ASSIGN_OR_RETURN(const pqxx::result deleted,
                   Execute("delete a role",
                           "DELETE FROM roles WHERE name = $1 AND NOT EXISTS (SELECT FROM operators WHERE role = $1)",
                           WithoutNul(name)));
  return deleted.affected_rows() == 0 ? RoleInUse(name) : absl::OkStatus();
}

absl::StatusOr<Page<Operator>> PgTransaction::ListOperators(int page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const int limit, ValidatePageSize(page_size));
  const std::string list = "operators";
  ASSIGN_OR_RETURN(const std::vector<std::string> after, DecodePageToken(list, 1, page_token));
  ASSIGN_OR_RETURN(const pqxx::result rows, Execute("list operators",
                                                    absl::StrCat(kSelectOperator,
                                                                 "WHERE o.name COLLATE \"C\" > $1"
                                                                 " ORDER BY o.name COLLATE \"C\" LIMIT $2"),
                                                    after.empty() ? std::string() : after[0], limit + 1));
  ASSIGN_OR_RETURN(std::vector<Operator> operators, ReadRows("list operators", rows, OperatorFrom));
  return MakePage(std::move(operators), limit, list,
                  [](const Operator& last) { return std::vector<std::string>{last.name}; });
}

absl::StatusOr<Operator> PgTransaction::GetOperator(const std::string& name, bool lock) {
  ASSIGN_OR_RETURN(
      const pqxx::result rows,
      Execute("read an operator", absl::StrCat(kSelectOperator, "WHERE o.name = $1", lock ? " FOR UPDATE OF o" : ""),
              WithoutNul(name)));
  if (rows.empty()) return OperatorNotFound(name);
  return ReadRow("read an operator", rows.front(), OperatorFrom);
}

absl::Status PgTransaction::UpdateOperator(const Operator& op) {
  // All admins are locked, so that two who disable each other do not both see the other one left.
  RETURN_IF_ERROR(
      Execute("lock the admins", "SELECT FROM operators WHERE role = 'admin' ORDER BY name FOR UPDATE").status());
  ASSIGN_OR_RETURN(const pqxx::result changed,
                   Execute("change an operator",
                           "UPDATE operators o SET role = $2, disabled = $3 WHERE name = $1 AND (o.role <> 'admin' OR"
                           " o.disabled OR ($2 = 'admin' AND NOT $3) OR EXISTS (SELECT FROM operators a"
                           " WHERE a.role = 'admin' AND NOT a.disabled AND a.name <> $1))",
                           op.name, op.role, op.disabled));
  return changed.affected_rows() == 0 ? LastAdmin(op.name) : absl::OkStatus();
}

}  // namespace bulkhead::controlplane
