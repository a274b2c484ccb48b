// The cgroup v2 hierarchy.
#include "sensor/kernel/cgroup.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/kernel/kernel.h"

namespace bulkhead::sensor {
namespace {

constexpr char kOwnCgroup[] = "bulkhead-sensor";
constexpr char kUnified[] = "0::";

absl::Status RequireCgroup2(const std::string& path) {
  struct statfs found {};
  if (statfs(path.c_str(), &found) != 0) return ErrnoToStatus(errno, absl::StrCat("look at cgroup ", path));
  if (found.f_type == CGROUP2_SUPER_MAGIC) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, " is not in the cgroup v2 hierarchy"));
}

}  // namespace

absl::StatusOr<std::string> FindCgroup2Mount() {
  ASSIGN_OR_RETURN(const std::string mounts, ReadFile("/proc/self/mountinfo"));
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    // "36 35 0:30 / /sys/fs/cgroup rw … - cgroup2 cgroup2 rw": the fifth field is where, the type follows the dash.
    if (!absl::StrContains(line, " - cgroup2 ")) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 4) return fields[4];
  }
  return absl::NotFoundError("no cgroup v2 hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup");
}

absl::StatusOr<uint64_t> CgroupId(const std::string& path) {
  struct stat found {};
  // On 64-bit kernels the inode number of a cgroup's directory is its id.
  if (stat(path.c_str(), &found) != 0) return ErrnoToStatus(errno, absl::StrCat("look at cgroup ", path));
  return found.st_ino;
}

absl::StatusOr<Scope> ResolveScope(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string root, FindCgroup2Mount());
  std::error_code error;
  Scope scope;
  scope.path = path.empty() ? root : std::filesystem::canonical(path, error).string();
  if (error) return ErrnoToStatus(error.value(), absl::StrCat("look at cgroup ", path));
  RETURN_IF_ERROR(RequireCgroup2(scope.path));
  if (scope.path != root && !absl::StartsWith(scope.path, root + "/")) {
    return absl::NotFoundError(
        absl::StrCat(path, " is not below ", root, ", where the cgroup v2 hierarchy is mounted"));
  }
  scope.relative = scope.path == root ? "/" : scope.path.substr(root.size());
  scope.level = scope.path == root ? 0 : std::count(scope.relative.begin(), scope.relative.end(), '/');
  ASSIGN_OR_RETURN(scope.id, CgroupId(scope.path));
  return scope;
}

absl::StatusOr<std::string> CgroupOfProcess(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(absl::StrCat("/proc/", pid, "/cgroup")));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, kUnified)) return std::string(line.data(), line.size());
  }
  return absl::NotFoundError(absl::StrCat("process ", pid, " is in no cgroup v2"));
}

bool IsInside(const Scope& scope, const std::string& cgroup) {
  return scope.is_host() || cgroup == scope.relative || absl::StartsWith(cgroup, scope.relative + "/");
}

std::vector<pid_t> ProcessesIn(const Scope& scope) {
  std::vector<pid_t> pids;
  const auto read = [&pids](const std::string& directory) {
    std::ifstream file(directory + "/cgroup.procs");
    for (pid_t pid; file >> pid;) pids.push_back(pid);
  };
  read(scope.path);
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(scope.path, error), end; it != end && !error;
       it.increment(error)) {
    if (it->is_directory(error)) read(it->path());
  }
  return pids;
}

absl::StatusOr<std::string> EnterSensorCgroup() {
  ASSIGN_OR_RETURN(const std::string root, FindCgroup2Mount());
  ASSIGN_OR_RETURN(const std::string current, CgroupOfProcess(getpid()));
  if (current != "/") return absl::StrCat(root, current);
  const std::string own = absl::StrCat(root, "/", kOwnCgroup);
  if (mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoToStatus(errno, absl::StrCat("make cgroup ", own));
  std::ofstream procs(own + "/cgroup.procs");
  procs << getpid() << std::flush;
  if (!procs) return ErrnoToStatus(errno, absl::StrCat("enter cgroup ", own));
  return own;
}

}  // namespace bulkhead::sensor
