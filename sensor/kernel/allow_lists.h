// Allow-lists: scopes to cgroups and paths to files, kept up to date.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/found_file.h"
#include "sensor/kernel/rule_set_store.h"
#include "sensor/kernel/unlisted_files.h"

namespace bulkhead::sensor {

// OK, or FailedPrecondition: the scope of `policy` holds this process, or cannot be told; the message says what.
absl::Status CheckListScope(const Policy& policy, const Scope& own);

// The policies, by the bytes of their keys, of which `after` has a list for a cgroup that `before` does not have.
std::set<std::string> StartedLists(const ListRules& before, const ListRules& after);

// Not thread safe.
class AllowLists {
 public:
  // What this kernel can do for a list.
  struct Abilities {
    bool hash = false;    // a hook hashes what runs
    bool refuse = false;  // a hook sees each file that runs, scripts too
  };

  // Takes the allow-lists of `state`; keeps what it knew of those that it had. `expires` as in BlockedFiles::Reset.
  void Reset(const DesiredState& state, const std::function<uint64_t(const Policy&)>& expires);

  // Looks at every scope and path again: a path stands for the file that is there now. True when something changed.
  bool Refresh(const FileIdentifier& identifier, const Scope& own, const Abilities& abilities);

  // Makes the next Refresh identify every file anew.
  void ForgetWitnesses();

  const ListRules& lists() const { return lists_; }
  const AwaitedRules& awaited() const { return awaited_; }
  const AllowRules& allowed() const { return allowed_; }
  size_t size() const { return by_policy_.size(); }

  // By policy id, who runs in the scope of a list that judges what the list does not name. What may run is what the
  // kernel's programs were told.
  std::map<std::string, std::set<uint32_t>> FindUnlisted(UnlistedFiles* files) const;

  // What is observed of one list.
  struct Status {
    bh_exec_rule rule{};
    bool learn = false;
    std::string cgroup;   // as in /proc/PID/cgroup; empty: there is none now
    std::string problem;  // what is not as ordered, in words; empty: nothing
  };
  // Null when the policy is no allow-list.
  const Status* Find(const std::string& policy_id) const;
  // The cgroups of lists that learn, by policy id.
  std::map<std::string, Scope> Learning() const;

 private:
  struct Entry {
    AllowedBinary binary;
    FileWitness witness;              // of the file that was looked at last
    std::optional<bh_file_key> file;  // that file; none: it does not run
    std::string problem;
  };
  struct List {
    uint32_t number = 0;
    PolicyScope scope;
    std::vector<Entry> entries;
    std::optional<Scope> cgroup;
    bool contents = false;  // the kernel compares contents for it
    std::string path;       // where that cgroup is, was last, or will be; empty: not known
    Status status;
  };

  bool LetsRun(const List& list, const CodeFile& code) const;
  static void RefreshEntry(const FileIdentifier& identifier, const Abilities& abilities, Entry* entry);
  static void AddEntry(const Entry& entry, uint32_t list, const Abilities& abilities, AllowRules* allowed);
  void RefreshScopes(const Scope& own);

  std::map<std::string, List> by_policy_;
  ListRules lists_;
  AwaitedRules awaited_;
  AllowRules allowed_;
};

}  // namespace bulkhead::sensor
