// Walks the sensor's files, the directories above them, and its own memory map.
#include "sensor/kernel/guard/guarded_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bulkhead/decide_guard.h"
#include "common/errno_status.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

// What process 1 executes to end the machine's life, and what it starts services with. Debian's paths, and those of a
// merged /usr.
constexpr const char* kHaltPrograms[] = {"/usr/lib/systemd/systemd-shutdown", "/lib/systemd/systemd-shutdown"};
constexpr const char* kInitPrograms[] = {"/proc/1/exe", "/usr/lib/systemd/systemd-executor",
                                         "/lib/systemd/systemd-executor"};

constexpr uint32_t kProgram = BH_PROTECT_CONTENT | BH_PROTECT_NAME | BH_TRUSTED_CODE;
constexpr uint32_t kLibrary = BH_PROTECT_CONTENT | BH_TRUSTED_CODE;
constexpr uint32_t kFile = BH_PROTECT_CONTENT | BH_PROTECT_NAME;
constexpr uint32_t kTree = BH_PROTECT_CONTENT | BH_PROTECT_NAME | BH_PROTECT_TREE;

class Collector {
 public:
  void Add(const fs::path& path, uint32_t flags) {
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    if (error) return;
    found_.push_back({real.string(), flags});
    for (fs::path above = real.parent_path(); above.has_relative_path(); above = above.parent_path())
      above_.insert(above.string());
  }

  void AddTree(const fs::path& root) {
    std::error_code error;
    if (!fs::is_directory(root, error)) return;
    Add(root, kTree);
    for (fs::recursive_directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->is_directory(error) && !entry->is_symlink(error)) Add(entry->path(), kTree);
    }
  }

  // Through map_files, which leads to the mapped file itself, whatever its path names by now.
  absl::Status AddMappedCode() {
    std::ifstream maps("/proc/self/maps");
    std::string line;
    while (std::getline(maps, line)) {
      uint64_t first = 0, last = 0, inode = 0;
      char access[5] = {};
      if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &first, &last, access, &inode) != 4)
        continue;
      if (access[2] != 'x' || inode == 0) continue;
      found_.push_back({absl::StrCat("/proc/self/map_files/", absl::Hex(first), "-", absl::Hex(last)), kLibrary});
    }
    return maps.eof() ? absl::OkStatus() : absl::InternalError("cannot read /proc/self/maps; is /proc mounted?");
  }

  std::vector<GuardedFile> Take() {
    for (const std::string& directory : above_) found_.push_back({directory, BH_PROTECT_NAME});
    return std::move(found_);
  }

 private:
  std::vector<GuardedFile> found_;
  std::set<std::string> above_;
};

}  // namespace

absl::StatusOr<std::vector<GuardedFile>> CollectGuardedFiles(const std::vector<std::string>& files,
                                                             const std::vector<std::string>& trees) {
  Collector collector;
  collector.Add("/proc/self/exe", kProgram);
  RETURN_IF_ERROR(collector.AddMappedCode());
  for (const std::string& file : files) collector.Add(file, kFile);
  for (const std::string& tree : trees) collector.AddTree(tree);
  std::vector<GuardedFile> found = collector.Take();
  std::error_code error;
  for (const char* program : kInitPrograms) {
    if (fs::exists(program, error)) found.push_back({program, BH_INIT_PROGRAM | BH_PROTECT_CONTENT});
  }
  for (const char* program : kHaltPrograms) {
    if (fs::exists(program, error)) found.push_back({program, BH_HALT_PROGRAM | BH_PROTECT_CONTENT});
  }
  return found;
}

std::vector<GuardedFile> CollectTrees(const std::vector<std::string>& trees) {
  Collector collector;
  for (const std::string& tree : trees) collector.AddTree(tree);
  return collector.Take();
}

absl::StatusOr<std::string> DescribeDirectory(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, absl::StrCat("look at ", path));
  std::error_code error;
  const std::string below = fs::canonical(path, error).string() + "/";
  std::string text = absl::StrCat(path, " ", info.st_dev, ":", info.st_ino);
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    // 36 35 98:0 /root-of-the-mount /mount-point options ...
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() > 4 && absl::StartsWith(words[4], below)) {
      absl::StrAppend(&text, " ", words[2], " ", words[3], " ", words[4]);
    }
  }
  if (!mounts.eof()) return absl::InternalError("cannot read /proc/self/mountinfo; is /proc mounted?");
  return text;
}

}  // namespace bulkhead::sensor
