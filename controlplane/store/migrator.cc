// Brings a database to the schema that this program needs.
#include <algorithm>
#include <filesystem>
#include <pqxx/pqxx>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/store/connection_pool.h"
#include "controlplane/store/migrations.h"
#include "controlplane/store/pg_errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr int kOldestServer = 150000;  // UNIQUE NULLS NOT DISTINCT came with 15

// Any number will do, as long as every replica of every version takes the same one.
constexpr char kLock[] = "SELECT pg_advisory_xact_lock(7310285540123466341)";

constexpr char kCreateTable[] = R"(
CREATE TABLE IF NOT EXISTS schema_migrations (
  version    integer     NOT NULL,
  name       text        NOT NULL,
  checksum   bytea       NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
  CONSTRAINT schema_migrations_checksum_check CHECK (octet_length(checksum) = 32)
))";

absl::Status CheckNumbering(const std::vector<Migration>& migrations) {
  for (size_t i = 0; i < migrations.size(); ++i) {
    int version = 0;
    const absl::string_view name = migrations[i].name;
    const absl::string_view digits = name.substr(0, name.find('_'));
    if (digits.size() != 4 || !absl::SimpleAtoi(digits, &version) || version != static_cast<int>(i) + 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "migration ", name, ": the files must be numbered 0001_, 0002_, … without gaps; expected number ", i + 1));
    }
  }
  return absl::OkStatus();
}

// Compares what was applied with what we have.
absl::Status CheckApplied(const pqxx::result& applied, const std::vector<Migration>& migrations) {
  for (const pqxx::row& row : applied) {
    const size_t version = row["version"].as<size_t>();
    if (version > migrations.size()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the database has schema version ", version, " (", row["name"].c_str(),
                       "), and this program knows only up to ", migrations.size(),
                       "; run the newer bulkhead-controlplane, or restore a backup from before its upgrade"));
    }
    const Migration& ours = migrations[version - 1];
    if (pqxx::binarystring(row["checksum"]).str() != Sha256(ours.sql)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "migration ", ours.name, " was applied to this database as ", row["name"].c_str(),
          " with other content; run the program that made this database, or restore the released migration files"));
    }
  }
  return absl::OkStatus();
}

// Whether this role may make tables; one that may not still finds out that none is missing.
bool MayMigrate(pqxx::work& work) {
  return work.exec("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)").front()[0].as<bool>();
}

absl::Status NotMigrated(const std::string& missing) {
  return absl::FailedPreconditionError(
      absl::StrCat("the database lacks migration ", missing,
                   ", and this role may not change the schema; run `bulkhead-controlplane migrate --runtime-role ROLE` "
                   "as the role that owns the tables"));
}

// Applies the next missing migration; false when there is none.
absl::StatusOr<bool> ApplyNext(pqxx::connection& connection, const std::vector<Migration>& migrations) {
  pqxx::work work(connection);
  // Building an index may take longer than any statement of normal work, and so may waiting for another replica that
  // does it. For the transaction only: behind a pooler the session is somebody else's next.
  work.exec("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0");
  work.exec(kLock);
  const bool may_migrate = MayMigrate(work);
  if (may_migrate) {
    work.exec(kCreateTable);
  } else if (work.exec("SELECT to_regclass('schema_migrations') IS NULL").front()[0].as<bool>()) {
    return NotMigrated(migrations.front().name);
  }
  const pqxx::result applied = work.exec("SELECT version, name, checksum FROM schema_migrations ORDER BY version");
  RETURN_IF_ERROR(CheckApplied(applied, migrations));
  const size_t next = applied.size();
  if (next == migrations.size()) {
    work.commit();
    return false;
  }
  const Migration& migration = migrations[next];
  if (!may_migrate) return NotMigrated(migration.name);
  work.exec(migration.sql);
  work.exec_params("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", next + 1,
                   migration.name, pqxx::binarystring(Sha256(migration.sql)));
  work.commit();
  LogInfo("migration applied", {{"name", migration.name}});
  return true;
}

}  // namespace

absl::StatusOr<std::vector<Migration>> ReadMigrations(const std::string& directory) {
  std::vector<Migration> migrations;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (!absl::EndsWith(name, ".sql")) continue;
    ASSIGN_OR_RETURN(std::string sql, ReadFile(entry.path().string()));
    migrations.push_back({name, std::move(sql)});
  }
  if (error) return absl::NotFoundError(absl::StrCat("read migrations in ", directory, ": ", error.message()));
  std::sort(migrations.begin(), migrations.end(),
            [](const Migration& a, const Migration& b) { return a.name < b.name; });
  RETURN_IF_ERROR(CheckNumbering(migrations));
  return migrations;
}

absl::Status Migrate(const std::string& connection_string, const std::vector<Migration>& migrations,
                     TimelineFence* fence) {
  RETURN_IF_ERROR(CheckNumbering(migrations));
  ASSIGN_OR_RETURN(std::unique_ptr<PgConnection> connection, PgConnection::Open(connection_string, fence));
  if (connection->get().server_version() < kOldestServer) {
    return absl::FailedPreconditionError(absl::StrCat("PostgreSQL 15 or newer is needed; this server reports version ",
                                                      connection->get().server_version() / 10000));
  }
  try {
    for (;;) {
      ASSIGN_OR_RETURN(const bool applied, ApplyNext(connection->get(), migrations));
      if (!applied) return absl::OkStatus();
    }
  } catch (...) {
    return FailureFromCurrentException("bring the database to the newest schema").status;
  }
}

}  // namespace bulkhead::controlplane
