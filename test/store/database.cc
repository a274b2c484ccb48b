// A fresh database for each test, in a PostgreSQL that one test program starts and stops.
#include "store/database.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controlplane/app/embedded_postgres.h"
#include "harness/status_matchers.h"

// libpqxx 6.4.5 forgets the result of the statement during which its connection broke; the tests break connections on
// purpose.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpqxx";
}

namespace bulkhead::controlplane::test {
namespace {

pqxx::result Run(const std::string& connection_string, const std::string& sql) {
  pqxx::connection connection(connection_string);
  pqxx::quiet_errorhandler quiet(connection);
  pqxx::nontransaction session(connection);
  return session.exec(sql);
}

// A directory that goes with everything in it, also when what follows fails.
struct TemporaryDirectory {
  std::string path = "/tmp/bulkhead-store-test-XXXXXX";

  TemporaryDirectory() {
    REQUIRE(mkdtemp(path.data()) != nullptr);
    REQUIRE(chmod(path.c_str(), 0755) == 0);
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
};

// One server a program, made by the first test that needs it and stopped at the program's end.
class Server {
 public:
  Server() {
    auto started = EmbeddedPostgres::Start(directory_.path + "/pg");
    REQUIRE_OK(started);
    postgres_ = *std::move(started);
    // These tests are about statements, not about power failures.
    const std::string superuser = String("postgres", "postgres");
    Run(superuser, "ALTER SYSTEM SET fsync = off");
    Run(superuser, "SELECT pg_reload_conf()");
    // The template that every test's database is copied from.
    Store::Options options;
    options.connection_string = String("bulkhead", "bulkhead");
    REQUIRE_OK(Store::Open(options));
  }

  std::string String(const std::string& user, const std::string& database) const {
    return absl::StrCat("host=", directory_.path, "/pg/run user=", user, " dbname=", database);
  }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<EmbeddedPostgres> postgres_;
};

const Server& TheServer() {
  static const Server server;
  return server;
}

}  // namespace

Database::Database(Schema schema) {
  static std::atomic<int> count{0};
  name_ = absl::StrCat("test_", ++count);
  Run(TheServer().String("postgres", "postgres"), absl::StrCat("CREATE DATABASE ", name_, " OWNER bulkhead TEMPLATE ",
                                                               schema == Schema::kCurrent ? "bulkhead" : "template1"));
  connection_string_ = TheServer().String("bulkhead", name_);
}

std::string Database::superuser_string() const {
  return TheServer().String("postgres", name_);
}

std::string Database::StringAs(const std::string& role) const {
  return TheServer().String(role, name_);
}

std::unique_ptr<Store> Database::Open(int pool_size) const {
  Store::Options options;
  options.connection_string = connection_string_;
  options.pool_size = pool_size;
  auto store = Store::Open(options);
  REQUIRE_OK(store);
  return *std::move(store);
}

pqxx::result Database::Execute(const std::string& sql) const {
  return Run(connection_string_, sql);
}

pqxx::result Database::ExecuteAsSuperuser(const std::string& sql) const {
  return Run(superuser_string(), sql);
}

std::string Database::Value(const std::string& sql) const {
  const pqxx::result rows = Execute(sql);
  return rows.empty() ? "" : rows.front()[0].c_str();
}

std::string Database::Refusal(const std::string& sql) const {
  // PostgreSQL itself reports the constraint's name; libpqxx 6 does not hand it on.
  const std::string block = absl::StrCat(
      "DO $do$ DECLARE state text; constr text; BEGIN EXECUTE $sql$", sql, "$sql$; ",
      "EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, constr = CONSTRAINT_NAME; ",
      "PERFORM set_config('test.refusal', state || ' ' || constr, false); END $do$; SELECT "
      "current_setting('test.refusal', true)");
  const std::string answer = Run(connection_string_, block).front()[0].c_str();
  return answer;
}

}  // namespace bulkhead::controlplane::test
