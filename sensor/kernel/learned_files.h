// What ran in scopes that are learned: the kernel's list, completed by what the sensor reads of the files.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bulkhead/abi.h"
#include "sensor/domain/desired_state.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// What became of one policy.
struct Learned {
  std::set<AllowedBinary> binaries;
  size_t bytes = 0;        // of the paths
  size_t unreadable = 0;   // files that were gone, or not to be read, when the sensor looked at them
  bool truncated = false;  // more ran than is listed
};

// The kernel's list outlives the sensor, which reads the files again after a restart. Not thread safe.
class LearnedFiles {
 public:
  // From now on only the policies in `learning` are learned; what others left is removed from the kernel's list.
  absl::Status Reset(const BpfMap& map, const std::map<std::string, Scope>& learning);

  // Takes what is new in the kernel's list, a bounded number of files a call. `learning` as in Reset, with the scopes'
  // cgroups as they are now.
  absl::Status Refresh(const BpfMap& map, const FileIdentifier& identifier,
                       const std::map<std::string, Scope>& learning);

  // Nothing learned: an empty one.
  Learned Of(const std::string& policy_id) const;

 private:
  struct KeyLess {
    bool operator()(const bh_learned_key& a, const bh_learned_key& b) const;
  };

  // False: it could not be read now.
  static bool Take(const bh_learned_key& key, const bh_learned& found, const FileIdentifier& identifier,
                   const Scope& scope, Learned* learned);

  std::map<std::string, Learned> by_policy_;
  std::map<bh_learned_key, int, KeyLess> tries_;  // how often a file was looked at; kDone: no more
};

}  // namespace bulkhead::sensor
