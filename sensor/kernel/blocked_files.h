// Blocked binaries: paths and digests to what identifies the files, kept up to date.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/content_cache.h"
#include "sensor/kernel/found_file.h"
#include "sensor/kernel/needed_files.h"
#include "sensor/kernel/rule_set_store.h"

struct bpf_program;

namespace bulkhead::sensor {

// A policy's key in the kernel's maps: the bytes of its UUID, or the start of a hash of another kind of id.
bh_policy_key PolicyKey(const std::string& policy_id);

// Its bytes, to look things up by.
std::string KeyText(const bh_policy_key& key);

// enum bh_action.
uint32_t ActionNumber(PolicyAction action);

// From the 32 bytes of a SHA-256.
bh_digest_key DigestKey(const std::string& sha256);

// A path as the programs hash it.
bh_path_key PathKey(const std::string& path);

// Reads the identity of a file as the kernel's programs see it, through an iterator: stat(2) answers other numbers on
// overlay and btrfs.
class FileIdentifier {
 public:
  // `program` is bh_file_id, loaded; `want` its map.
  FileIdentifier(const bpf_program* program, const BpfMap* want) : program_(program), want_(want) {}

  absl::StatusOr<bh_file_key> Identify(const FoundFile& file) const;

 private:
  const bpf_program* program_;
  const BpfMap* want_;
};

// Not thread safe.
class BlockedFiles {
 public:
  // Takes the policies of `state`; keeps what it already knew of those that it had, and what `adopted` holds of them.
  // `expires` tells when a policy's lease ends, as bh_exec_rule.expires.
  void Reset(const DesiredState& state, const FoundRules& adopted,
             const std::function<uint64_t(const Policy&)>& expires);

  // Looks at all paths of policies that are new, and at the next 4096 of the others in turn: to look at 100 000 that
  // are not there takes a tenth of a second and more. A file that is new behind a path is added, with its content; the
  // one before stays blocked, because it lives on under another name when it was renamed. A file that this host needs
  // is not added, unless its policy is forced: whoever controls a blocked path must not get the shell blocked by
  // putting it there. True when something was added.
  bool Refresh(const FileIdentifier& identifier);

  // Adds the identities of files that a process of `scope` runs and whose content is blocked: copies from before the
  // order.
  void AddRunningCopies(const FileIdentifier& identifier, const Scope& scope);

  // Makes the next Refresh identify every file anew.
  void ForgetWitnesses();

  // Sorted, each key once: a rule that stops wins over one that only notifies.
  PathRules paths() const;
  const FoundRules& found() const { return found_; }
  // How many elements the largest part of what was found has.
  size_t found_size() const;
  // BH_CONTENT_* for a kernel that can hash, or that cannot.
  uint8_t content_flags(bool can_hash) const;
  // How many policies.
  size_t size() const { return blocked_.size(); }

  // What is not blocked as ordered of one policy, in words; empty when all is.
  std::string ProblemOf(const std::string& policy_id) const;
  // SHA-256 of the file found behind the policy's path last; empty: none, or a list of many.
  std::string ContentOf(const std::string& policy_id) const;

 private:
  using Contents = std::vector<std::pair<bh_digest_key, uint64_t>>;  // with sizes, 0 where not known

  // What identifies files; oldest first.
  struct Found {
    std::vector<bh_file_key> files;
    Contents contents;
    std::vector<bh_print_key> prints;
  };
  struct BlockedPath {
    std::string path;
    Found found;
    FileWitness witness;  // of the file that was read last
    std::string sha256;   // of that file
    std::string problem;
  };
  // One policy. Small where nothing was found: there may be 100 000 paths.
  struct Blocked {
    bool forced = false;
    bool fresh = true;  // its paths were never looked at
    bh_exec_rule rule{};
    std::vector<BlockedPath> paths;
    Contents ordered;  // sorted
    Found copies;      // that ran before the order, and what an earlier sensor found
  };

  static std::vector<BlockedBinary> BinariesOf(const Policy& policy);
  static Blocked Start(const Policy& policy);
  static bool IsAsBefore(const Policy& policy, const Blocked& before);
  // `fresh`: by the bytes of the policy's key.
  static void Adopt(const FoundRules& adopted, const std::map<std::string, Blocked*>& fresh);
  // Null when no such content was ordered.
  static uint64_t* SizeOfOrdered(const bh_digest_key& digest, Blocked* blocked);
  // `needed` is made when the first file has to be compared with it.
  static bool RefreshOne(const FileIdentifier& identifier, std::optional<NeededFiles>* needed, Blocked* blocked,
                         BlockedPath* path);
  static bool AddContent(const FileContent& content, Blocked* blocked, Found* found);
  // Sorted: who blocks which content.
  std::vector<std::pair<bh_digest_key, Blocked*>> ByContent();
  // Makes found_ anew.
  void Rebuild();

  std::map<std::string, Blocked> blocked_;  // by policy id
  FoundRules found_;
  size_t next_path_ = 0;   // for Refresh
  ContentCache contents_;  // only to find running copies
};

}  // namespace bulkhead::sensor
