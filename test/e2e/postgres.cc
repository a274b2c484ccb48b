// A PostgreSQL of the test's own: made once, started, killed and started again.
#include "e2e/postgres.h"

#include <glob.h>
#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace bulkhead::e2e {
namespace {

constexpr auto kStartLimit = std::chrono::seconds(60);

// The newest PostgreSQL of Debian's packages.
std::string PostgresProgram(const std::string& name) {
  glob_t found{};
  std::string newest;
  if (glob(("/usr/lib/postgresql/*/bin/" + name).c_str(), 0, nullptr, &found) == 0)
    newest = found.gl_pathv[found.gl_pathc - 1];
  globfree(&found);
  if (newest.empty()) throw std::runtime_error("PostgreSQL is not installed");
  return newest;
}

// PostgreSQL refuses to run as root.
Arguments AsPostgres(const Arguments& command) {
  Arguments whole = {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  const std::string id = std::to_string(parent);
  std::ifstream file("/proc/" + id + "/task/" + id + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

// False for a zombie too, which nobody may be there to reap.
bool Runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string id, name, state;
  return static_cast<bool>(file >> id >> name >> state) && state != "Z";
}

}  // namespace

Postgres::Postgres(const std::string& directory) : directory_(directory), data_(directory + "/postgres") {
  std::filesystem::create_directory(data_);
  const passwd* user = getpwnam("postgres");
  if (user == nullptr || chown(data_.c_str(), user->pw_uid, user->pw_gid) != 0)
    throw std::runtime_error("no user postgres");
  const Result made =
      Run(AsPostgres({PostgresProgram("initdb"), "-D", data_, "--auth=trust", "--no-sync", "-E", "UTF8"}));
  if (made.exit_code != 0) throw std::runtime_error("initdb: " + made.err);
  Start();
}

void Postgres::Start() {
  daemon_ = std::make_unique<Daemon>(
      AsPostgres({PostgresProgram("postgres"), "-D", data_, "-k", data_, "-c", "listen_addresses=", "-c", "fsync=off"}),
      directory_ + "/postgres.log");
  if (!Eventually(kStartLimit, [this] { return Query("select 1").exit_code == 0; }))
    throw std::runtime_error("PostgreSQL did not start; see " + directory_ + "/postgres.log");
}

void Postgres::Kill() {
  // setpriv has become the server by now: the daemon's pid is the server's.
  const std::vector<pid_t> backends = ChildrenOf(daemon_->pid());
  daemon_->Kill();
  for (const pid_t backend : backends) kill(backend, SIGKILL);
  // A server that starts while one of them lives would refuse the data directory.
  Eventually(std::chrono::seconds(10), [&] {
    for (const pid_t backend : backends) {
      if (Runs(backend)) return false;
    }
    return true;
  });
}

Result Postgres::Query(const std::string& sql) const {
  return Run({"psql", "-h", data_, "-U", "postgres", "-XAtqc", sql});
}

}  // namespace bulkhead::e2e
