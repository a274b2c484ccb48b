// Who runs, inside the scope of an allow-list, what the list does not name: what was started before the list.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/abi.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/content_cache.h"
#include "sensor/kernel/found_file.h"

namespace bulkhead::sensor {

// A file that a process has as code.
struct CodeFile {
  bh_file_key key{};
  std::optional<std::string> sha256;  // 32 bytes; none: not asked for, or not readable
};

// For one look at the processes: each file is identified once. Not thread safe.
class UnlistedFiles {
 public:
  // `mappings`: what is mapped as code counts as well as the program itself, as where a hook sees mappings.
  // `contents` outlives it, and saves what an earlier look has hashed.
  UnlistedFiles(const FileIdentifier& identifier, bool mappings, ContentCache* contents)
      : identifier_(identifier), mappings_(mappings), contents_(contents) {}

  // The processes of `scope` that have a file as code which `allows` says no to, ascending. With `contents` it is told
  // the file's digest. Never this process, nor pid 1.
  std::set<uint32_t> Find(const Scope& scope, bool contents, const std::function<bool(const CodeFile&)>& allows);

 private:
  // Paths below /proc that lead to the files, whatever became of their names.
  std::vector<std::string> CodeOf(pid_t pid) const;
  // Nothing: the process has ended. A file that cannot be identified is one that no list names.
  std::optional<CodeFile> Look(const std::string& link, bool contents);

  FileIdentifier identifier_;
  bool mappings_;
  ContentCache* contents_;
  std::map<std::pair<uint64_t, uint64_t>, CodeFile> seen_;  // by device and inode
};

}  // namespace bulkhead::sensor
