// Finds BPF objects in /proc/self/fdinfo and among the pins.
#include "sensor/kernel/guard/own_objects.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

struct ObjectIds {
  std::set<uint32_t> maps;
  std::set<uint32_t> programs;
};

void ReadFdInfo(const fs::path& path, ObjectIds* ids) {
  std::ifstream info(path);
  std::string line;
  while (std::getline(info, line)) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(":\t "), absl::SkipEmpty());
    uint32_t id = 0;
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &id)) continue;
    if (words[0] == "map_id") ids->maps.insert(id);
    if (words[0] == "prog_id") ids->programs.insert(id);
  }
}

void AddMapsOfProgram(int fd, ObjectIds* ids) {
  std::vector<uint32_t> maps(64);
  bpf_prog_info info{};
  info.nr_map_ids = maps.size();
  info.map_ids = reinterpret_cast<uintptr_t>(maps.data());
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return;
  ids->maps.insert(maps.begin(), maps.begin() + std::min<size_t>(info.nr_map_ids, maps.size()));
}

void ReadDescriptors(ObjectIds* ids) {
  std::error_code error;
  for (fs::directory_iterator entry("/proc/self/fdinfo", error), end; !error && entry != end; entry.increment(error)) {
    ReadFdInfo(entry->path(), ids);
  }
}

// The descriptors of what is pinned live until they have been read: fdinfo says what kind of object each is.
void ReadPins(const std::string& directory, ObjectIds* ids) {
  std::error_code error;
  std::vector<UniqueFd> pins;
  for (fs::recursive_directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->is_directory(error)) pins.emplace_back(bpf_obj_get(entry->path().c_str()));
  }
  ReadDescriptors(ids);
}

}  // namespace

absl::Status TouchOwnObjects(const std::string& pin_directory) {
  ObjectIds ids;
  ReadPins(pin_directory, &ids);
  absl::Status status;
  for (const uint32_t id : ids.programs) {
    const UniqueFd fd(bpf_prog_get_fd_by_id(id));
    if (fd.valid()) AddMapsOfProgram(fd.get(), &ids);
    if (!fd.valid() && errno != ENOENT) status.Update(ErrnoToStatus(errno, absl::StrCat("open BPF program ", id)));
  }
  for (const uint32_t id : ids.maps) {
    const UniqueFd fd(bpf_map_get_fd_by_id(id));
    if (!fd.valid() && errno != ENOENT) status.Update(ErrnoToStatus(errno, absl::StrCat("open BPF map ", id)));
  }
  return status;
}

}  // namespace bulkhead::sensor
