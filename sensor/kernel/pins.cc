// Where pins live, and how to make and remove them.
#include "sensor/kernel/pins.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/file_util.h"
#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kReadableBytes = 40;

bool IsPinName(const std::string& name) {
  return !name.empty() && name.size() < 128 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

// The end of the path for people, a hash of all of it for uniqueness.
std::string KeyOf(const Scope& scope) {
  if (scope.is_host()) return "host";
  std::string name =
      scope.path.size() > kReadableBytes ? scope.path.substr(scope.path.size() - kReadableBytes) : scope.path;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return absl::StrCat("cg", name, "-", ToHex(Sha256(scope.path)).substr(0, 12));
}

}  // namespace

absl::StatusOr<std::string> PinDirectory(const std::string& bpffs, const std::string& key, const Scope& scope) {
  const std::string name = key.empty() ? KeyOf(scope) : key;
  if (IsPinName(name)) return absl::StrCat(bpffs, "/bulkhead/", name);
  return absl::InvalidArgumentError(absl::StrCat("pin key \"", name, "\": use 1..127 of [A-Za-z0-9_-]"));
}

std::string LayoutDirectory(const std::string& scope_directory) {
  return absl::StrCat(scope_directory, "/", kLayoutPrefix, BH_ABI_VERSION);
}

absl::Status EnsureBpffs(const std::string& bpffs) {
  RETURN_IF_ERROR(MakeDirectories(bpffs, 0700));
  struct statfs found {};
  if (statfs(bpffs.c_str(), &found) != 0) return ErrnoToStatus(errno, absl::StrCat("look at ", bpffs));
  if (found.f_type == BPF_FS_MAGIC) return absl::OkStatus();
  if (mount("bpf", bpffs.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("mount a bpf file system at ", bpffs));
}

void EnsureTracefs() {
  constexpr char kTracefs[] = "/sys/kernel/tracing";
  if (access(absl::StrCat(kTracefs, "/events").c_str(), F_OK) == 0) return;
  mount("tracefs", kTracefs, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
}

absl::StatusOr<UniqueFd> LockDirectory(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", directory));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return ErrnoToStatus(errno, absl::StrCat("lock ", directory));
  return absl::FailedPreconditionError(
      absl::StrCat("another sensor enforces this scope (it holds ", directory, "); stop it first"));
}

absl::Status RemovePins(const std::string& directory) {
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  if (!error) return absl::OkStatus();
  return ErrnoToStatus(error.value(), absl::StrCat("remove ", directory));
}

}  // namespace bulkhead::sensor
