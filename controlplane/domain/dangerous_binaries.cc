// Which binaries must not be blocked by a slip of the hand.
#include "controlplane/domain/dangerous_binaries.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr std::array<absl::string_view, 10> kSystemDirectories = {
    "/bin",   "/sbin",    "/usr/bin",   "/usr/sbin",      "/lib",
    "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/bin", "/usr/local/sbin"};

constexpr std::pair<absl::string_view, absl::string_view> kPrograms[] = {
    {"init", "the host's init"},
    {"systemd", "the host's init"},
    {"openrc-init", "the host's init"},
    {"runit", "the host's init"},
    {"systemd-executor", "what systemd starts every service with"},
    {"sh", "a shell"},
    {"bash", "a shell"},
    {"dash", "a shell"},
    {"ash", "a shell"},
    {"zsh", "a shell"},
    {"ksh", "a shell"},
    {"fish", "a shell"},
    {"busybox", "a shell and half of a small system"},
    {"apt", "the package manager"},
    {"apt-get", "the package manager"},
    {"dpkg", "the package manager"},
    {"rpm", "the package manager"},
    {"dnf", "the package manager"},
    {"dnf5", "the package manager"},
    {"microdnf", "the package manager"},
    {"yum", "the package manager"},
    {"zypper", "the package manager"},
    {"apk", "the package manager"},
    {"pacman", "the package manager"},
};

absl::string_view DirectoryOf(absl::string_view path) {
  return path.substr(0, path.rfind('/'));
}

// True in a system directory or, for libraries and systemd's own programs, anywhere below a library directory.
bool InSystem(absl::string_view path) {
  if (std::find(kSystemDirectories.begin(), kSystemDirectories.end(), DirectoryOf(path)) != kSystemDirectories.end())
    return true;
  return absl::StartsWith(path, "/lib/") || absl::StartsWith(path, "/lib64/") || absl::StartsWith(path, "/usr/lib/") ||
         absl::StartsWith(path, "/usr/lib64/");
}

// What the file is, or empty when nothing depends on it.
absl::string_view WhatItIs(absl::string_view path) {
  if (!InSystem(path)) return "";
  const absl::string_view name = path.substr(path.rfind('/') + 1);
  if (absl::StartsWith(name, "ld-linux") || absl::StartsWith(name, "ld-musl-") || absl::StartsWith(name, "ld64.so") ||
      absl::StartsWith(name, "ld.so") || (absl::StartsWith(name, "ld-") && absl::EndsWith(name, ".so"))) {
    return "the program loader";
  }
  if (absl::StartsWith(name, "libc.so") || absl::StartsWith(name, "libc.musl-") ||
      (absl::StartsWith(name, "libc-") && absl::EndsWith(name, ".so"))) {
    return "the C library";
  }
  for (const auto& [program, description] : kPrograms) {
    if (name == program) return description;
  }
  return "";
}

}  // namespace

absl::Status CheckBlockable(absl::string_view field, absl::string_view path, bool force) {
  if (absl::EndsWith(path, "/bulkhead-sensor")) return SensorBinary(field, path);
  const absl::string_view what = WhatItIs(path);
  if (what.empty() || force) return absl::OkStatus();
  return DangerousBinary(field, path, what);
}

}  // namespace bulkhead::controlplane
