// Who runs a file.
#include "sensor/kernel/running_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {
namespace {

constexpr char kDeleted[] = " (deleted)";

bool IsSame(const FileWitness& a, const FileWitness& b) {
  return a.device == b.device && a.inode == b.inode;
}

std::string LinkText(const std::string& link) {
  std::error_code error;
  return std::filesystem::read_symlink(link, error).string();
}

// The mount namespace of the host or of this process: there a path means what the operator means.
bool SeesPathsAsWeDo(const std::string& process_directory) {
  const std::string mounts = LinkText(process_directory + "/ns/mnt");
  return !mounts.empty() && (mounts == LinkText("/proc/self/ns/mnt") || mounts == LinkText("/proc/1/ns/mnt"));
}

// A link to the executable of a process, through whichever thread still has it; empty: none has.
std::string ExecutableLink(const std::string& directory) {
  std::error_code error;
  struct stat found {};
  if (stat(absl::StrCat(directory, "/exe").c_str(), &found) == 0) return absl::StrCat(directory, "/exe");
  for (std::filesystem::directory_iterator it(directory + "/task", error), end; it != end && !error;
       it.increment(error)) {
    const std::string link = absl::StrCat(it->path().string(), "/exe");
    if (stat(link.c_str(), &found) == 0) return link;
  }
  return "";
}

}  // namespace

absl::StatusOr<RunningFiles> RunningFiles::Of(const RunningFile& file) {
  RunningFiles files(file);
  if (file.path.empty()) return files;
  absl::StatusOr<FoundFile> found = FoundFile::Open(file.path);
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  if (found.ok()) files.file_ = *std::move(found);
  return files;
}

std::vector<ProcessKey> RunningFiles::Find() {
  std::vector<ProcessKey> found;
  for (const ProcessEntry& entry : ReadProcessTable()) {
    if (Runs(entry.key)) found.push_back(entry.key);
  }
  return found;
}

bool RunningFiles::Runs(const ProcessKey& process) {
  const std::string directory = absl::StrCat("/proc/", process.pid);
  const std::string exe = ExecutableLink(directory);
  if (exe.empty()) return false;
  const absl::StatusOr<FoundFile> executable = FoundFile::Open(exe);
  if (!executable.ok()) return false;
  if (!wanted_.path.empty() && !IsNamed(exe, directory, *executable)) return false;
  return wanted_.sha256.empty() || HasContent(*executable);
}

bool RunningFiles::IsNamed(const std::string& exe, const std::string& directory, const FoundFile& executable) const {
  if (file_.has_value() && IsSame(file_->witness(), executable.witness())) return true;
  const std::string deleted = absl::StrCat(wanted_.path, kDeleted);
  if (LinkText(exe) != deleted || !SeesPathsAsWeDo(directory)) return false;
  // Unless that is the name which somebody gave to another file.
  const absl::StatusOr<FoundFile> literal = FoundFile::Open(deleted);
  return !literal.ok() || !IsSame(literal->witness(), executable.witness());
}

bool RunningFiles::HasContent(const FoundFile& executable) {
  const absl::StatusOr<FileContent> content = contents_.Read(executable);
  return content.ok() && content->sha256 == wanted_.sha256;
}

}  // namespace bulkhead::sensor
