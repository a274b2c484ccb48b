// Blocked binaries: paths to the identities of the files behind them, kept up to date.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/rule_set_store.h"

struct bpf_program;

namespace bulkhead::sensor {

// A policy's key in the kernel's maps: the bytes of its UUID, or the start of a hash of another kind of id.
bh_policy_key PolicyKey(const std::string& policy_id);

// A path as the programs hash it.
bh_path_key PathKey(const std::string& path);

// Reads the identity of a file as the kernel's programs see it, through an iterator: stat(2) answers other numbers on
// overlay and btrfs.
class FileIdentifier {
 public:
  // `program` is bh_file_id, loaded; `want` its map.
  FileIdentifier(const bpf_program* program, const BpfMap* want) : program_(program), want_(want) {}

  // NotFound when nothing is there.
  absl::StatusOr<bh_file_key> Identify(const std::string& path) const;

 private:
  const bpf_program* program_;
  const BpfMap* want_;
};

// Not thread safe.
class BlockedFiles {
 public:
  // Takes the policies of `state`; keeps the identities of policies that it already knew, and those that `adopted`
  // holds. A policy that stops wins over one that only notifies for the same path. `expires` tells when a policy's
  // lease ends, as bh_exec_rule.expires.
  void Reset(const DesiredState& state, const FileRules& adopted,
             const std::function<uint64_t(const Policy&)>& expires);

  // Looks at every path again. A file that is new behind a path is added; the one before stays blocked, because it
  // lives on under another name when it was renamed. True when something was added.
  bool Refresh(const FileIdentifier& identifier);

  PathRules paths() const;
  FileRules files() const;
  size_t size() const { return blocked_.size(); }

 private:
  struct Blocked {
    std::string path;
    bh_exec_rule rule{};
    std::deque<bh_file_key> files;  // oldest first, at most kMaxFilesPerPolicy
  };

  std::map<std::string, Blocked> blocked_;  // by path
};

}  // namespace bulkhead::sensor
