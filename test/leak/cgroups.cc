// Moves processes between cgroups of the version 2 hierarchy.
#include "test/leak/cgroups.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace bulkhead::leak {

std::string CgroupRoot() {
  std::ifstream mounts("/proc/self/mounts");
  std::string line, source, path, type;
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    words >> source >> path >> type;
    if (type == "cgroup2") return path;
  }
  return "";
}

std::string OwnCgroup() {
  std::ifstream membership("/proc/self/cgroup");
  std::string line;
  while (std::getline(membership, line)) {
    if (line.rfind("0::", 0) == 0) return CgroupRoot() + line.substr(3);
  }
  return CgroupRoot();
}

absl::Status EnterCgroup(const std::string& path) {
  std::ofstream members(path + "/cgroup.procs");
  members << "0" << std::flush;
  return members ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("cannot move into ", path));
}

std::string ElsewhereCgroup() {
  const std::string path = CgroupRoot() + "/bulkhead-leak-elsewhere";
  mkdir(path.c_str(), 0755);
  return path;
}

void RemoveElsewhereCgroup() {
  rmdir((CgroupRoot() + "/bulkhead-leak-elsewhere").c_str());
}

}  // namespace bulkhead::leak
