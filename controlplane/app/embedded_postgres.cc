// A private PostgreSQL cluster under one directory, for the installation that has no database server.
#include "controlplane/app/embedded_postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::controlplane {
namespace {

namespace fs = std::filesystem;

constexpr char kInstalled[] = "/usr/lib/postgresql";
constexpr char kServerUser[] = "postgres";
constexpr size_t kMaxSocketPath = 107;                    // sockaddr_un
constexpr absl::Duration kStartLimit = absl::Minutes(5);  // recovery after a crash takes its time
constexpr absl::Duration kStopLimit = absl::Seconds(30);
constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr size_t kLogTail = 2000;

// Fast shutdown: sessions are cut, everything is written. (SIGTERM would wait for the sessions to end by themselves.)
constexpr int kFastShutdown = SIGINT;
constexpr int kImmediateShutdown = SIGQUIT;

// Idempotent, because the start before may have been cut off anywhere. The role owns its database and nothing else.
constexpr char kMakeDatabase[] = R"(
SELECT 'CREATE ROLE bulkhead LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bulkhead') \gexec
SELECT 'CREATE DATABASE bulkhead OWNER bulkhead'
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bulkhead') \gexec
)";

std::string Tail(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return "(no log)";
  return text->size() <= kLogTail ? *text : text->substr(text->size() - kLogTail);
}

// True when the process is a PostgreSQL server of this data directory: servers change into it.
bool IsServerOf(pid_t pid, const std::string& data) {
  std::error_code error;
  const fs::path exe = fs::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  if (error || !absl::StartsWith(exe.filename().string(), "postgres")) return false;
  const fs::path cwd = fs::read_symlink(absl::StrCat("/proc/", pid, "/cwd"), error);
  return !error && cwd == fs::canonical(data, error);
}

// Line `index` of the server's lock file; empty when there is none.
std::string LockFileLine(const std::string& data, size_t index) {
  const absl::StatusOr<std::string> text = ReadFile(data + "/postmaster.pid");
  if (!text.ok()) return "";
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  return index < lines.size() ? lines[index] : "";
}

absl::Status GiveTo(const std::string& path, uid_t uid, gid_t gid) {
  if (chown(path.c_str(), uid, gid) != 0) return ErrnoToStatus(errno, absl::StrCat("chown ", path));
  if (chmod(path.c_str(), 0700) != 0) return ErrnoToStatus(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

// The server changes into its data directory by its full path, so its user must be able to pass every directory above.
absl::Status CheckPassable(const std::string& directory, uid_t uid, gid_t gid) {
  for (fs::path above = fs::path(directory); above.has_relative_path(); above = above.parent_path()) {
    struct stat info;
    if (stat(above.c_str(), &info) != 0) continue;  // not made yet
    const mode_t needed = info.st_uid == uid ? S_IXUSR : info.st_gid == gid ? S_IXGRP : S_IXOTH;
    if ((info.st_mode & needed) != 0) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("PostgreSQL runs as the system user \"postgres\", who may not enter ", above.string(),
                     "; use a directory such as /var/lib/bulkhead/postgres"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> EmbeddedPostgres::Start(const std::string& directory) {
  std::error_code error;
  const std::string absolute = fs::absolute(directory, error).lexically_normal().string();
  std::unique_ptr<EmbeddedPostgres> postgres(new EmbeddedPostgres(std::string(absl::StripSuffix(absolute, "/"))));
  RETURN_IF_ERROR(postgres->FindProgramsAndUser());
  RETURN_IF_ERROR(postgres->PrepareDirectories());
  RETURN_IF_ERROR(postgres->StopLeftover());
  RETURN_IF_ERROR(postgres->MakeCluster());
  RETURN_IF_ERROR(postgres->StartServer());
  RETURN_IF_ERROR(postgres->WaitUntilReady());
  RETURN_IF_ERROR(postgres->MakeDatabase());
  postgres->connection_string_ = absl::StrCat("host='", postgres->Path("run"), "' user=bulkhead dbname=bulkhead");
  return postgres;
}

EmbeddedPostgres::~EmbeddedPostgres() {
  if (server_ <= 0) return;
  kill(server_, kFastShutdown);
  const absl::Time limit = absl::Now() + kStopLimit;
  while (waitpid(server_, nullptr, WNOHANG) == 0) {
    if (absl::Now() > limit) {
      LogWarning("PostgreSQL does not stop, it will recover at the next start", {{"directory", directory_}});
      kill(server_, kImmediateShutdown);
      waitpid(server_, nullptr, 0);
      return;
    }
    absl::SleepFor(kPoll);
  }
}

absl::Status EmbeddedPostgres::FindProgramsAndUser() {
  int newest = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(kInstalled, error)) {
    int version = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &version) || version <= newest) continue;
    if (access((entry.path() / "bin/postgres").c_str(), X_OK) != 0) continue;
    newest = version;
    programs_ = (entry.path() / "bin").string();
  }
  if (programs_.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no PostgreSQL below ", kInstalled, "; install the package postgresql, or use --postgres=postgresql://…"));
  }
  change_user_ = geteuid() == 0;
  uid_ = geteuid();
  gid_ = getegid();
  if (!change_user_) return absl::OkStatus();
  const passwd* const user = getpwnam(kServerUser);
  if (user == nullptr) {
    return absl::FailedPreconditionError(
        "PostgreSQL does not run as root, and there is no system user \"postgres\"; install the "
        "package postgresql");
  }
  uid_ = user->pw_uid;
  gid_ = user->pw_gid;
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::PrepareDirectories() {
  if (Path("run/.s.PGSQL.5432").size() > kMaxSocketPath) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the path ", directory_, " is too long: a unix socket below it may have ", kMaxSocketPath,
        " bytes; use a directory of at most ", kMaxSocketPath - std::string("/run/.s.PGSQL.5432").size(), " bytes"));
  }
  RETURN_IF_ERROR(CheckPassable(directory_, uid_, gid_));
  RETURN_IF_ERROR(MakeDirectories(directory_, 0755));
  lock_.Reset(open(Path("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", Path("lock")));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another control plane uses the database in ", directory_, "; stop it, or use another directory"));
  }
  for (const char* const name : {"run", "log"}) {
    RETURN_IF_ERROR(MakeDirectories(Path(name), 0700));
    RETURN_IF_ERROR(GiveTo(Path(name), uid_, gid_));
  }
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::StopLeftover() {
  // Nobody holds our lock, so a server that still runs here belonged to a control plane that was killed.
  const std::string data = Path("data");
  pid_t pid = 0;
  if (!absl::SimpleAtoi(LockFileLine(data, 0), &pid) || pid <= 1) return absl::OkStatus();
  const absl::Time limit = absl::Now() + kStopLimit;
  bool urged = false;
  if (IsServerOf(pid, data)) kill(pid, kFastShutdown);
  while (IsServerOf(pid, data)) {
    if (!urged && absl::Now() > limit) {
      kill(pid, kImmediateShutdown);
      urged = true;
    }
    if (absl::Now() > limit + kStopLimit) {
      return absl::FailedPreconditionError(
          absl::StrCat("a PostgreSQL server of an earlier run (pid ", pid, ") does not stop; end it"));
    }
    absl::SleepFor(kPoll);
  }
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::MakeCluster() {
  const absl::StatusOr<std::string> made_by = ReadFile(Path("data/PG_VERSION"));
  if (made_by.ok()) {
    const std::string version(absl::StripAsciiWhitespace(*made_by));
    if (absl::StrCat(kInstalled, "/", version, "/bin") == programs_) return absl::OkStatus();
    programs_ = absl::StrCat(kInstalled, "/", version, "/bin");
    if (access((programs_ + "/postgres").c_str(), X_OK) == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("the database in ", directory_, " was made by PostgreSQL ",
                                                      version, "; install postgresql-", version,
                                                      ", or move it with pg_upgrade"));
  }
  LogInfo("making a PostgreSQL cluster", {{"directory", directory_}});
  // Made aside and renamed, so that a start that is cut off leaves no half cluster.
  const std::string aside = Path("data.new");
  std::error_code error;
  fs::remove_all(aside, error);
  RETURN_IF_ERROR(MakeDirectories(aside, 0700));
  RETURN_IF_ERROR(GiveTo(aside, uid_, gid_));
  RETURN_IF_ERROR(RunProgram({programs_ + "/initdb", "--pgdata=" + aside, "--username=postgres", "--encoding=UTF8",
                              "--locale=C", "--auth-local=trust", "--auth-host=reject", "--data-checksums"}));
  if (rename(aside.c_str(), Path("data").c_str()) != 0) return ErrnoToStatus(errno, absl::StrCat("rename ", aside));
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::StartServer() {
  UniqueFd log(open(Path("startup.log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", Path("startup.log")));
  std::vector<std::string> arguments = {programs_ + "/postgres", "-D", Path("data"), "-k", Path("run")};
  // The directories are for the server's user alone (0700), so whoever reaches the socket is that user, or root, or us.
  for (const std::string& setting :
       {std::string("listen_addresses="), std::string("unix_socket_permissions=0700"),
        std::string("max_connections=50"), std::string("shared_buffers=64MB"), std::string("logging_collector=on"),
        "log_directory=" + Path("log"), std::string("log_filename=postgresql-%a.log"),
        std::string("log_truncate_on_rotation=on"), std::string("log_rotation_age=1d"),
        std::string("log_rotation_size=0")}) {
    arguments.push_back("-c");
    arguments.push_back(setting);
  }
  server_ = Spawn(arguments, -1, log.get());
  if (server_ < 0) return ErrnoToStatus(errno, "start PostgreSQL");
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::WaitUntilReady() {
  const absl::Time limit = absl::Now() + kStartLimit;
  // Line 8 of the lock file becomes "ready" once connections are taken; line 1 tells that it is this server's file.
  while (LockFileLine(Path("data"), 0) != absl::StrCat(server_) ||
         !absl::StartsWith(LockFileLine(Path("data"), 7), "ready")) {
    if (waitpid(server_, nullptr, WNOHANG) == server_) {
      server_ = -1;
      return absl::InternalError(
          absl::StrCat("PostgreSQL in ", directory_, " did not start; it said:\n", Tail(Path("startup.log"))));
    }
    if (absl::Now() > limit) {
      return absl::DeadlineExceededError(absl::StrCat("PostgreSQL in ", directory_, " is not ready after ",
                                                      absl::FormatDuration(kStartLimit), "; see ", Path("log")));
    }
    absl::SleepFor(kPoll);
  }
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::MakeDatabase() {
  return RunProgram({programs_ + "/psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--host=" + Path("run"),
                     "--username=postgres", "--dbname=postgres"},
                    kMakeDatabase);
}

absl::Status EmbeddedPostgres::RunProgram(const std::vector<std::string>& arguments, const std::string& input) {
  UniqueFd output(memfd_create("output", MFD_CLOEXEC));
  UniqueFd in(memfd_create("input", MFD_CLOEXEC));
  if (!output.valid() || !in.valid()) return ErrnoToStatus(errno, "create a memory file");
  if (write(in.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    return ErrnoToStatus(errno, "write");
  lseek(in.get(), 0, SEEK_SET);
  const pid_t child = Spawn(arguments, in.get(), output.get());
  if (child < 0) return ErrnoToStatus(errno, absl::StrCat("start ", arguments[0]));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(arguments[0], " failed; it said:\n", Tail(absl::StrCat("/proc/self/fd/", output.get()))));
}

pid_t EmbeddedPostgres::Spawn(const std::vector<std::string>& arguments, int input, int log) {
  // Everything that allocates happens before the fork: another thread may hold the allocator's lock.
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char locale[] = "LC_ALL=C";
  char path[] = "PATH=/usr/bin:/bin";
  char* const environment[] = {locale, path, nullptr};
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  // A terminal's Ctrl-C is for the control plane, which then stops us in order.
  setsid();
  dup2(input >= 0 ? input : null.get(), STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (change_user_ && (setgroups(0, nullptr) != 0 || setgid(gid_) != 0 || setuid(uid_) != 0)) _exit(126);
  // After setuid, which clears it. The parent may have died before this line.
  if (prctl(PR_SET_PDEATHSIG, kFastShutdown) != 0 || getppid() != parent) _exit(126);
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir("/") != 0) _exit(126);
  execve(argv[0], argv.data(), environment);
  _exit(127);
}

}  // namespace bulkhead::controlplane
