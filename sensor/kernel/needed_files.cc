// The files without which this host, or the sensor on it, would not work.
#include "sensor/kernel/needed_files.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file_util.h"

namespace bulkhead::sensor {
namespace {

constexpr std::pair<const char*, const char*> kWellKnown[] = {
    {"/sbin/init", "the host's init"},
    {"/usr/lib/systemd/systemd", "the host's init"},
    {"/usr/lib/systemd/systemd-executor", "what systemd starts every service with"},
    {"/lib64/ld-linux-x86-64.so.2", "the program loader"},
    {"/lib/ld-linux-aarch64.so.1", "the program loader"},
    {"/lib/ld-musl-x86_64.so.1", "the program loader"},
    {"/lib/x86_64-linux-gnu/libc.so.6", "the C library"},
    {"/lib64/libc.so.6", "the C library"},
    {"/bin/sh", "a shell"},
    {"/bin/bash", "a shell"},
    {"/bin/dash", "a shell"},
    {"/bin/busybox", "a shell and half of a small system"},
    {"/usr/bin/dpkg", "the package manager"},
    {"/usr/bin/apt", "the package manager"},
    {"/usr/bin/apt-get", "the package manager"},
    {"/usr/bin/rpm", "the package manager"},
    {"/usr/bin/dnf", "the package manager"},
    {"/usr/bin/yum", "the package manager"},
    {"/usr/bin/zypper", "the package manager"},
    {"/sbin/apk", "the package manager"},
    {"/usr/bin/pacman", "the package manager"},
};

// Paths of the files that a process has mapped as code, by /proc/PID/maps.
std::set<std::string> CodeOf(const std::string& process) {
  std::set<std::string> paths;
  const auto maps = ReadFile(absl::StrCat("/proc/", process, "/maps"));
  if (!maps.ok()) return paths;
  for (const absl::string_view line : absl::StrSplit(*maps, '\n')) {
    const size_t path = line.find(" /");
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    if (path == absl::string_view::npos || words.size() < 2 || words[1].size() < 3 || words[1][2] != 'x') continue;
    paths.emplace(line.substr(path + 1));
  }
  return paths;
}

}  // namespace

NeededFiles NeededFiles::OfThisHost() {
  NeededFiles needed;
  needed.Add("/proc/self/exe", "the sensor itself", true);
  needed.Add("/proc/1/exe", "the host's init", false);
  for (const auto& [path, what] : kWellKnown) needed.Add(path, what, false);
  for (const std::string& path : CodeOf("self")) needed.Add(path, "a library that the sensor runs on", false);
  for (const std::string& path : CodeOf("1")) needed.Add(path, "a library that the host's init runs on", false);
  return needed;
}

void NeededFiles::Add(const std::string& path, const std::string& what, bool own) {
  const auto file = FoundFile::Open(path);
  if (!file.ok()) return;
  const bool known = std::any_of(files_.begin(), files_.end(), [&file](const NeededFile& other) {
    return other.witness.device == file->witness().device && other.witness.inode == file->witness().inode;
  });
  if (!known) files_.push_back({path, what, own, file->witness()});
}

const NeededFile* NeededFiles::Find(const FoundFile& file, const FileContent& content) const {
  for (const NeededFile& needed : files_) {
    if (needed.witness.device == file.witness().device && needed.witness.inode == file.witness().inode) return &needed;
    if (needed.witness.size != content.size || content.size == 0) continue;
    const auto same = FoundFile::Open(needed.path);
    const auto read = same.ok() ? same->Read() : same.status();
    if (read.ok() && read->sha256 == content.sha256) return &needed;
  }
  return nullptr;
}

const NeededFile* NeededFiles::FindContent(const std::string& sha256) {
  if (contents_.empty()) {
    for (size_t i = 0; i < files_.size(); ++i) {
      const auto file = FoundFile::Open(files_[i].path);
      const auto read = file.ok() ? file->Read() : file.status();
      if (read.ok()) contents_.emplace(read->sha256, i);
    }
  }
  const auto found = contents_.find(sha256);
  return found == contents_.end() ? nullptr : &files_[found->second];
}

}  // namespace bulkhead::sensor
