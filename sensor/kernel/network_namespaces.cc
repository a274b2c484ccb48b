// Finds network namespaces through processes, and enters them.
#include "sensor/kernel/network_namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &pid)) pids.push_back(pid);
  }
  return pids;
}

using Namespaces = std::map<ino_t, UniqueFd>;  // by inode

void AddNamespace(const std::string& path, Namespaces* namespaces) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat found {};
  // A process may end at any time; what is its own ends with it.
  if (fd.valid() && fstat(fd.get(), &found) == 0) namespaces->try_emplace(found.st_ino, std::move(fd));
}

// Those that a mount keeps, as `ip netns` and container engines do, with or without a process in them. A line reads:
// id, parent, device, root, mount point, ...
void AddMounted(Namespaces* namespaces) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() > 5 && absl::StartsWith(words[3], "net:[")) AddNamespace(words[4], namespaces);
  }
}

Namespaces NamespacesOf(const Scope& scope) {
  Namespaces namespaces;
  for (const pid_t pid : scope.is_host() ? AllProcesses() : ProcessesIn(scope)) {
    AddNamespace(absl::StrCat("/proc/", pid, "/ns/net"), &namespaces);
  }
  if (scope.is_host()) AddMounted(&namespaces);
  return namespaces;
}

}  // namespace

absl::Status InEachNamespace(const Scope& scope, const std::function<absl::Status()>& visit) {
  absl::Status result;
  std::thread walker([&] {
    for (const auto& [inode, fd] : NamespacesOf(scope)) {
      result = setns(fd.get(), CLONE_NEWNET) == 0 ? visit() : ErrnoToStatus(errno, "enter a network namespace");
      if (!result.ok()) return;
    }
  });
  walker.join();
  return result;
}

}  // namespace bulkhead::sensor
