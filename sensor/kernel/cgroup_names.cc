// Paths of cgroups by their ids.
#include "sensor/kernel/cgroup_names.h"

#include <fcntl.h>

#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMostKnown = 1024;
constexpr int kFileIdKernfs = 0xfe;  // FILEID_KERNFS: the handle of a cgroup's directory is its id

}  // namespace

CgroupNames::CgroupNames() : root_(FindCgroup2Mount().value_or("")) {
  if (!root_.empty()) root_fd_.Reset(open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string CgroupNames::PathOf(uint64_t id) {
  if (const auto known = known_.find(id); known != known_.end()) return known->second;
  if (!root_fd_.valid()) return "";
  alignas(file_handle) char bytes[sizeof(file_handle) + sizeof(id)];
  auto* handle = reinterpret_cast<file_handle*>(bytes);
  handle->handle_bytes = sizeof(id);
  handle->handle_type = kFileIdKernfs;
  std::memcpy(handle->f_handle, &id, sizeof(id));
  const UniqueFd fd(open_by_handle_at(root_fd_.get(), handle, O_PATH | O_CLOEXEC));
  if (!fd.valid()) return "";
  std::error_code error;
  const std::string path = std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", fd.get()), error).string();
  if (error || !absl::StartsWith(path, root_)) return "";
  if (known_.size() >= kMostKnown) known_.erase(known_.begin());  // ids grow: the oldest cgroup
  return known_[id] = path == root_ ? "/" : path.substr(root_.size());
}

}  // namespace bulkhead::sensor
