// The two slots of the rule set in the kernel: fill the idle one, read it back, publish it with one write.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/kernel/bpf_map.h"
#include "sensor/kernel/rule_compiler.h"

namespace bulkhead::sensor {

using FileRules = std::vector<std::pair<bh_file_key, bh_exec_rule>>;
using PathRules = std::vector<std::pair<bh_path_key, bh_exec_rule>>;
using DigestRules = std::vector<std::pair<bh_digest_key, bh_digest_rule>>;
using PrintRules = std::vector<std::pair<bh_print_key, bh_exec_rule>>;

using ListRules = std::vector<std::pair<uint64_t, bh_list>>;        // by the id of the scope's cgroup
using AwaitedRules = std::vector<std::pair<bh_path_key, bh_list>>;  // by the path of the scope's cgroup
using AllowRules = std::vector<std::pair<bh_allow_key, uint32_t>>;  // the value is 1

// What identifies blocked binaries beside their paths, the scopes of allow-lists, and what these name. It follows the
// files and cgroups, so it changes within a generation.
struct FoundRules {
  FileRules files;
  DigestRules digests;
  PrintRules prints;
  ListRules lists;
  AwaitedRules awaited;
  AllowRules allowed;
};

// Everything that one generation puts into the kernel.
struct RuleSet {
  bh_config config{};
  CompiledRules network;
  PathRules paths;
  FoundRules found;
};

// Not thread safe. A hook that runs during Publish sees the old set or the new one, never parts of both: the inner maps
// of a slot are fresh, the slot is named by one word, and a slot is filled again only after a grace period.
class RuleSetStore {
 public:
  // Opens the pinned maps below `directory` and takes over the set that they hold.
  static absl::StatusOr<RuleSetStore> Open(const std::string& directory);

  // Makes the kernel enforce `set`. On any error what was enforced before still is.
  absl::Status Publish(const RuleSet& set);

  // Puts fresh, empty maps into the idle slot, which takes a grace period of the kernel (some 10 ms each); Publish does
  // it itself when it was not done.
  absl::Status PrepareIdleSlot();

  // The head of the set in force, read from the kernel; nullopt when nothing was ever published.
  absl::StatusOr<std::optional<bh_config>> ReadConfig() const;

  // Replaces what was found of the set in force, one by one; what stays is never missing meanwhile.
  absl::Status ReplaceFound(const FoundRules& found);
  absl::StatusOr<FoundRules> ReadFound() const;
  absl::StatusOr<PathRules> ReadPaths() const;
  absl::StatusOr<ListRules> ReadLists() const;

  // Puts the active word, the slot's maps and what was found back when somebody changed them; says what it repaired.
  absl::StatusOr<std::vector<std::string>> Repair(const std::optional<FoundRules>& found);

 private:
  enum Part { kConfig, kRules, kPorts, kPaths, kFiles, kDigests, kSizes, kPrints, kAllowed, kAwaited, kLists, kParts };
  using Slot = std::array<BpfMap, kParts>;

  static constexpr std::array<uint32_t, kParts> FirstCapacities() {
    std::array<uint32_t, kParts> capacities{};
    capacities.fill(16384);
    return capacities;
  }

  MapSpec SpecOf(Part part) const;
  void Reserve(Part part, size_t entries);
  void ReserveFor(const RuleSet& set);
  absl::Status AdoptActiveSlot();
  absl::Status Fill(const RuleSet& set, const Slot& slot) const;
  absl::Status Verify(const RuleSet& set, const Slot& slot) const;
  absl::Status CompareFound(const FoundRules& found, const Slot& slot) const;
  absl::Status Freeze(const Slot& slot) const;
  uint32_t idle_slot() const { return active_ == 1 ? 1 : 0; }

  std::array<BpfMap, kParts> outer_;
  BpfMap active_word_;
  uint32_t active_ = 0;  // as in bh_active: 0 or 1 + slot
  Slot current_;         // of the set in force; invalid maps when there is none
  Slot idle_;            // fresh and empty, in the idle slot, when idle_ready_
  bool idle_ready_ = false;
  // Of the next maps of a slot that may be large: one takes 16 bytes for each element, used or not.
  std::array<uint32_t, kParts> capacity_ = FirstCapacities();
};

}  // namespace bulkhead::sensor
