// Which files the tamper guard protects, and how: found once, when it is enabled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace bulkhead::sensor {

// A path that is opened now, by this process; what counts from then on is the file, not the path.
struct GuardedFile {
  std::string path;
  uint32_t flags = 0;  // enum bh_guard_protect
};

// This process's program and mapped libraries, `files`, `trees` with all directories below, the directories above each
// of them (they keep their names), process 1's program and the program that halts the machine. Paths may occur more
// than once. What does not exist is left out. Internal: /proc is not readable.
absl::StatusOr<std::vector<GuardedFile>> CollectGuardedFiles(const std::vector<std::string>& files,
                                                             const std::vector<std::string>& trees);

// `trees` with all directories below and the directories above, as they are now.
std::vector<GuardedFile> CollectTrees(const std::vector<std::string>& trees);

// Which directory `path` leads to in this process's view of the file system, and what is mounted below it. Two equal
// texts are the same directory with the same files, until the host reboots. Errors of stat(2); Internal: /proc is not
// readable.
absl::StatusOr<std::string> DescribeDirectory(const std::string& path);

}  // namespace bulkhead::sensor
