// A PostgreSQL of the test's own: made once, started, killed and started again; a primary, or a standby of one.
#include "e2e/postgres.h"

#include <glob.h>
#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>
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

// PostgreSQL refuses to run as root.
Arguments AsPostgres(const Arguments& command) {
  Arguments whole = {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

Postgres::Postgres(const std::string& directory, Options options)
    : directory_(directory),
      options_(std::move(options)),
      data_(directory + "/" + options_.name),
      run_(data_ + ".run") {
  std::filesystem::create_directory(data_);
  std::filesystem::create_directory(run_);
  // Nobody else may read it, or the server refuses it.
  std::filesystem::permissions(data_, std::filesystem::perms::owner_all);
  const passwd* user = getpwnam("postgres");
  if (user == nullptr || chown(data_.c_str(), user->pw_uid, user->pw_gid) != 0 ||
      chown(run_.c_str(), user->pw_uid, user->pw_gid) != 0) {
    throw std::runtime_error("no user postgres");
  }
  Make();
  Start();
}

void Postgres::Make() {
  const Result made =
      options_.standby_of.empty()
          ? Run(AsPostgres({PostgresProgram("initdb"), "-D", data_, "--auth=trust", "--no-sync", "-E", "UTF8"}))
          : Deploy("make-standby.sh", {options_.name, options_.standby_of, data_});
  if (made.exit_code != 0) throw std::runtime_error("making " + data_ + ": " + made.err);
  if (options_.include.empty() || !options_.standby_of.empty()) return;
  std::ofstream(data_ + "/postgresql.conf", std::ios::app) << "include '" << options_.include << "'\n";
}

Result Postgres::Deploy(const std::string& script, const Arguments& arguments) const {
  // Its user may not be allowed to enter the source tree.
  const std::string copy = directory_ + "/" + script;
  std::filesystem::copy_file(std::string(BULKHEAD_DEPLOY) + "/postgresql/" + script, copy,
                             std::filesystem::copy_options::overwrite_existing);
  Arguments command = {copy};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return Run(AsPostgres(command));
}

std::string Postgres::conninfo() const {
  return "host=127.0.0.1 port=" + std::to_string(options_.port) + " user=postgres";
}

void Postgres::Start() {
  Arguments command = {PostgresProgram("postgres"), "-D", data_, "-k", run_, "-c", "fsync=off"};
  const std::string listen = options_.port == 0 ? "listen_addresses=" : "listen_addresses=127.0.0.1";
  const std::string port = "port=" + std::to_string(options_.port == 0 ? 5432 : options_.port);
  command.insert(command.end(), {"-c", listen, "-c", port});
  daemon_ = std::make_unique<Daemon>(AsPostgres(command), data_ + ".log");
  if (!Eventually(kStartLimit, [this] { return Query("select 1").exit_code == 0; })) {
    std::ifstream log(data_ + ".log");
    throw std::runtime_error("PostgreSQL did not start: " + std::string(std::istreambuf_iterator<char>(log), {}));
  }
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
  const std::string port = std::to_string(options_.port == 0 ? 5432 : options_.port);
  return Run({"psql", "-h", run_, "-p", port, "-U", "postgres", "-XAtqc", sql});
}

}  // namespace bulkhead::e2e
