// The private PostgreSQL: one owner, data that survives everything, nothing left running.
#include "controlplane/app/embedded_postgres.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <pqxx/pqxx>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

namespace fs = std::filesystem;

struct Directory {
  std::string path = "/tmp/bulkhead-pg-test-XXXXXX";
  Directory() {
    REQUIRE(mkdtemp(path.data()) != nullptr);
    REQUIRE(chmod(path.c_str(), 0755) == 0);
  }
  ~Directory() { fs::remove_all(path); }
};

// Runs a statement as the control plane would and returns the first value.
std::string Query(const std::string& connection_string, const std::string& sql) {
  pqxx::connection connection(connection_string);
  pqxx::nontransaction session(connection);
  const pqxx::result rows = session.exec(sql);
  return rows.empty() ? "" : rows.front()[0].c_str();
}

pid_t ServerPid(const std::string& directory) {
  const auto text = ReadFile(directory + "/data/postmaster.pid");
  pid_t pid = 0;
  if (text.ok()) {
    const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
    REQUIRE(absl::SimpleAtoi(lines[0], &pid));
  }
  return pid;
}

// A control plane that is killed without a chance to clean up. Returns the pid that its server had.
pid_t StartAndKill(const std::string& directory) {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto postgres = EmbeddedPostgres::Start(directory);
    const char result = postgres.ok() ? 'y' : 'n';
    if (write(ready[1], &result, 1) == 1) pause();
    _exit(1);
  }
  char result = 'n';
  const bool told = read(ready[0], &result, 1) == 1;
  close(ready[0]);
  close(ready[1]);
  const pid_t server = ServerPid(directory);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  REQUIRE(told);
  REQUIRE(result == 'y');
  return server;
}

TEST_CASE("a cluster's life: made, used, stopped, started again, its owner killed, its server left over") {
  const Directory directory;
  const std::string path = directory.path + "/pg";
  {
    const auto postgres = EmbeddedPostgres::Start(path);
    REQUIRE_OK(postgres);
    const std::string& connection = (*postgres)->connection_string();
    Query(connection, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('first')");
    CHECK(Query(connection, "SHOW fsync") == "on");
    CHECK(Query(connection, "SHOW listen_addresses").empty());
    CHECK(Query(connection, "SELECT usesuper FROM pg_user WHERE usename = current_user") == "f");
    const absl::Status second = EmbeddedPostgres::Start(path).status();
    CHECK_CODE(second, kFailedPrecondition);
    CHECK(absl::StrContains(second.message(), "another control plane"));
    CHECK(Query(connection, "SELECT word FROM kept") == "first");
  }
  CHECK(ServerPid(path) == 0);

  const pid_t orphan = StartAndKill(path);
  {
    const auto postgres = EmbeddedPostgres::Start(path);
    REQUIRE_OK(postgres);
    CHECK(ServerPid(path) != orphan);
    CHECK(Query((*postgres)->connection_string(), "SELECT word FROM kept") == "first");
  }

  // A server that was started with nobody to tell it of its owner's death.
  const std::string programs =
      absl::StrCat("/usr/lib/postgresql/", fs::exists("/usr/lib/postgresql/15") ? "15" : "17", "/bin");
  REQUIRE(system(absl::StrCat("cd / && runuser -u postgres -- ", programs, "/pg_ctl -s -w -D ", path, "/data -o \"-k ",
                              path, "/run -c listen_addresses=\" -l ", path, "/log/leftover start")
                     .c_str()) == 0);
  const pid_t leftover = ServerPid(path);
  REQUIRE(leftover > 1);
  {
    const auto postgres = EmbeddedPostgres::Start(path);
    REQUIRE_OK(postgres);
    CHECK(ServerPid(path) != leftover);
    CHECK_FALSE(fs::exists(absl::StrCat("/proc/", leftover, "/exe")));
    CHECK(Query((*postgres)->connection_string(), "SELECT word FROM kept") == "first");
  }

  REQUIRE_OK(WriteFileAtomically(path + "/data/postgresql.conf", "no such setting", 0644));
  const absl::Status broken = EmbeddedPostgres::Start(path).status();
  CHECK_CODE(broken, kInternal);
  CHECK(absl::StrContains(broken.message(), "postgresql.conf"));
}

TEST_CASE("a directory whose path is too long for a socket is refused before anything is made") {
  const Directory directory;
  const std::string path = absl::StrCat(directory.path, "/", std::string(90, 'x'));
  const absl::Status refused = EmbeddedPostgres::Start(path).status();
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "too long"));
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("a directory that the server's user may not enter is refused with a better one") {
  const Directory directory;
  REQUIRE(chmod(directory.path.c_str(), 0700) == 0);
  const absl::Status refused = EmbeddedPostgres::Start(directory.path + "/pg").status();
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "/var/lib/bulkhead/postgres"));
}

TEST_CASE("data of a PostgreSQL that is not installed is refused with the package's name") {
  const Directory directory;
  REQUIRE_OK(MakeDirectories(directory.path + "/pg/data", 0755));
  REQUIRE_OK(WriteFileAtomically(directory.path + "/pg/data/PG_VERSION", "9\n", 0644));
  const absl::Status refused = EmbeddedPostgres::Start(directory.path + "/pg").status();
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "postgresql-9"));
}

}  // namespace
}  // namespace bulkhead::controlplane
