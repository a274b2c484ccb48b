// What the control plane's own role may do in a database that another role owns.
#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/store/connection_pool.h"
#include "controlplane/store/migrations.h"
#include "controlplane/store/pg_errors.h"

namespace bulkhead::controlplane {
namespace {

// Nothing binds a superuser, and an owner gives himself what he was refused.
constexpr char kIsUnbound[] = R"(
SELECT r.rolsuper OR pg_has_role(r.oid, c.relowner, 'MEMBER')
FROM pg_roles r, pg_class c WHERE r.rolname = $1 AND c.oid = 'audit_log'::regclass)";

// Everything first, so that a table of a later version is usable; then what must not be changed is closed. Partitions
// are reached through their parents only.
constexpr char kGrants[] = R"(
GRANT USAGE ON SCHEMA %1$I TO %2$I;
REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM %2$I;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %2$I;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA %1$I TO %2$I;
GRANT EXECUTE ON FUNCTION create_record_partitions(integer), drop_old_records(text, timestamptz) TO %2$I;
REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM %2$I;
REVOKE UPDATE, DELETE ON audit_log FROM %2$I;
REVOKE INSERT, DELETE ON audit_heads FROM %2$I;
REVOKE UPDATE, DELETE ON events FROM %2$I;
REVOKE UPDATE ON heartbeats FROM %2$I;
REVOKE UPDATE, DELETE ON enrollment_token_uses FROM %2$I;
REVOKE DELETE ON ca_roots FROM %2$I)";

constexpr char kClosePartitions[] = R"(
SELECT format('REVOKE ALL ON %I FROM %I', c.relname, $1::text)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('events'::regclass, 'heartbeats'::regclass))";

}  // namespace

absl::Status GrantRuntimeRole(const std::string& connection_string, const std::string& role) {
  ASSIGN_OR_RETURN(std::unique_ptr<PgConnection> connection, PgConnection::Open(connection_string));
  try {
    pqxx::work work(connection->get());
    const pqxx::result unbound = work.exec_params(kIsUnbound, role);
    if (unbound.empty()) {
      return absl::NotFoundError(absl::StrCat("the database has no role \"", role, "\"; make it with CREATE ROLE"));
    }
    if (unbound.front()[0].as<bool>()) {
      return absl::FailedPreconditionError(
          absl::StrCat("role \"", role, "\" is a superuser, or is or belongs to the owner of the tables: no privilege ",
                       "binds it; name another one"));
    }
    const std::string grants =
        work.exec_params("SELECT format($1, current_schema(), $2::text)", kGrants, role).front()[0].as<std::string>();
    work.exec(grants);
    for (const pqxx::row& row : work.exec_params(kClosePartitions, role)) work.exec(row[0].as<std::string>());
    work.commit();
  } catch (...) {
    return FailureFromCurrentException(absl::StrCat("grant privileges to ", role)).status;
  }
  LogInfo("privileges granted", {{"role", role}});
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
