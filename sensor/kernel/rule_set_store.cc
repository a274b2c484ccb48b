// Fill, freeze, read back, flip.
#include "sensor/kernel/rule_set_store.h"

#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <future>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kZero = 0;

template <typename Key, typename Value>
absl::Status PutAll(const BpfMap& map, const std::vector<std::pair<Key, Value>>& content) {
  std::vector<Key> keys;
  std::vector<Value> values;
  for (const auto& [key, value] : content) {
    keys.push_back(key);
    values.push_back(value);
  }
  return map.UpdateMany(keys.data(), values.data(), keys.size());
}

// In the order of their bytes.
template <typename Key, typename Value>
std::vector<std::pair<Key, Value>> Sorted(std::vector<std::pair<Key, Value>> content) {
  const auto less = [](const auto& a, const auto& b) { return std::memcmp(&a.first, &b.first, sizeof(a.first)) < 0; };
  if (!std::is_sorted(content.begin(), content.end(), less)) std::sort(content.begin(), content.end(), less);
  return content;
}

// Every element is there with its value, and nothing else is.
template <typename Key, typename Value>
absl::Status Compare(const BpfMap& map, const std::vector<std::pair<Key, Value>>& wanted) {
  ASSIGN_OR_RETURN(auto found, (map.Entries<Key, Value>()));
  if (found.size() != wanted.size()) {
    return absl::DataLossError(
        absl::StrCat("map ", map.name(), " holds ", found.size(), " entries instead of ", wanted.size()));
  }
  const auto same = [](const auto& a, const auto& b) {
    return std::memcmp(&a.first, &b.first, sizeof(a.first)) == 0 &&
           std::memcmp(&a.second, &b.second, sizeof(a.second)) == 0;
  };
  found = Sorted(std::move(found));
  const auto expected = Sorted(wanted);
  if (std::equal(found.begin(), found.end(), expected.begin(), same)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("map ", map.name(), " holds something else than was written"));
}

// Nothing when there is no such map.
template <typename Key, typename Value>
absl::StatusOr<std::vector<std::pair<Key, Value>>> ReadAll(const BpfMap& map) {
  if (!map.valid()) return std::vector<std::pair<Key, Value>>();
  return map.Entries<Key, Value>();
}

std::vector<std::pair<uint32_t, bh_port_set>> Numbered(const std::vector<bh_port_set>& sets) {
  std::vector<std::pair<uint32_t, bh_port_set>> numbered;
  for (const bh_port_set& set : sets) numbered.emplace_back(numbered.size() + 1, set);
  return numbered;
}

// Makes `content` all that the map holds; what is in both is never missing meanwhile.
template <typename Key, typename Value>
absl::Status Replace(const BpfMap& map, const std::vector<std::pair<Key, Value>>& content) {
  const auto bytes = [](const Key& key) { return std::string(reinterpret_cast<const char*>(&key), sizeof(key)); };
  RETURN_IF_ERROR(PutAll(map, content));
  std::set<std::string> wanted;
  for (const auto& [key, value] : content) wanted.insert(bytes(key));
  ASSIGN_OR_RETURN(const std::vector<Key> keys, map.Keys<Key>());
  for (const Key& key : keys) {
    if (wanted.count(bytes(key)) == 0) RETURN_IF_ERROR(map.Delete(&key));
  }
  return absl::OkStatus();
}

std::vector<std::pair<uint64_t, uint32_t>> SizesOf(const DigestRules& digests) {
  std::map<uint64_t, uint32_t> sizes;
  for (const auto& [key, value] : digests) {
    if (value.size != 0) sizes[value.size] = 1;
  }
  return {sizes.begin(), sizes.end()};
}

}  // namespace

MapSpec RuleSetStore::SpecOf(Part part) const {
  switch (part) {
    case kConfig:
      return {BPF_MAP_TYPE_ARRAY, "bh_set_config", sizeof(uint32_t), sizeof(bh_config), 1, 0};
    case kRules:
      return {BPF_MAP_TYPE_HASH,     "bh_set_rules",    sizeof(bh_rule_key),
              sizeof(bh_rule_value), capacity_[kRules], BPF_F_NO_PREALLOC};
    case kPorts:
      return {BPF_MAP_TYPE_HASH,   "bh_set_ports",   sizeof(uint32_t),
              sizeof(bh_port_set), BH_MAX_PORT_SETS, BPF_F_NO_PREALLOC};
    case kPaths:
      return {BPF_MAP_TYPE_HASH,    "bh_set_paths",    sizeof(bh_path_key),
              sizeof(bh_exec_rule), capacity_[kPaths], BPF_F_NO_PREALLOC};
    case kDigests:
      return {BPF_MAP_TYPE_HASH,      "bh_set_digests",    sizeof(bh_digest_key),
              sizeof(bh_digest_rule), capacity_[kDigests], BPF_F_NO_PREALLOC};
    case kSizes:
      return {BPF_MAP_TYPE_HASH, "bh_set_sizes",    sizeof(uint64_t),
              sizeof(uint32_t),  capacity_[kSizes], BPF_F_NO_PREALLOC};
    case kPrints:
      return {BPF_MAP_TYPE_HASH,    "bh_set_prints",    sizeof(bh_print_key),
              sizeof(bh_exec_rule), capacity_[kPrints], BPF_F_NO_PREALLOC};
    case kAllowed:
      return {BPF_MAP_TYPE_HASH, "bh_set_allowed", sizeof(bh_allow_key),
              sizeof(uint32_t),  BH_MAX_ALLOWED,   BPF_F_NO_PREALLOC};
    case kAwaited:
      return {BPF_MAP_TYPE_HASH, "bh_set_awaited", sizeof(bh_path_key),
              sizeof(bh_list),   BH_MAX_LISTS,     BPF_F_NO_PREALLOC};
    case kLists:
      return {BPF_MAP_TYPE_HASH, "bh_set_lists", sizeof(uint64_t), sizeof(bh_list), BH_MAX_LISTS, BPF_F_NO_PREALLOC};
    case kFiles:
    case kParts:
      break;
  }
  return {BPF_MAP_TYPE_HASH,    "bh_set_files",    sizeof(bh_file_key),
          sizeof(bh_exec_rule), capacity_[kFiles], BPF_F_NO_PREALLOC};
}

absl::StatusOr<RuleSetStore> RuleSetStore::Open(const std::string& directory) {
  static constexpr const char* kNames[kParts] = {"bh_config",  "bh_rules",   "bh_ports", "bh_paths",
                                                 "bh_files",   "bh_digests", "bh_sizes", "bh_prints",
                                                 "bh_allowed", "bh_awaited", "bh_lists"};
  RuleSetStore store;
  for (int part = 0; part < kParts; ++part) {
    ASSIGN_OR_RETURN(store.outer_[part], BpfMap::OpenPinned(absl::StrCat(directory, "/", kNames[part])));
  }
  ASSIGN_OR_RETURN(store.active_word_, BpfMap::OpenPinned(absl::StrCat(directory, "/bh_active")));
  RETURN_IF_ERROR(store.AdoptActiveSlot());
  return store;
}

absl::Status RuleSetStore::AdoptActiveSlot() {
  ASSIGN_OR_RETURN(const uint32_t active, active_word_.Get<uint32_t>(kZero));
  active_ = active;
  if (active == 0) return absl::OkStatus();
  Slot slot;
  for (int part = 0; part < kParts; ++part) {
    const uint32_t index = active - 1;
    const absl::StatusOr<uint32_t> id = outer_[part].Get<uint32_t>(index);
    // Somebody emptied the slot: the programs deny everything, and the next Publish makes a new one.
    if (!id.ok()) return absl::OkStatus();
    ASSIGN_OR_RETURN(slot[part], BpfMap::OpenById(*id));
  }
  current_ = std::move(slot);
  return absl::OkStatus();
}

absl::Status RuleSetStore::PrepareIdleSlot() {
  if (idle_ready_) return absl::OkStatus();
  for (int part = 0; part < kParts; ++part) {
    ASSIGN_OR_RETURN(idle_[part], BpfMap::Create(SpecOf(static_cast<Part>(part))));
  }
  // The kernel returns from such an update after a grace period, so no hook still reads what was in the slot before. A
  // grace period takes some ten milliseconds; all parts wait for one together.
  std::array<std::future<absl::Status>, kParts> updates;
  for (int part = 0; part < kParts; ++part) {
    updates[part] = std::async(std::launch::async, [this, part] {
      const uint32_t index = idle_slot();
      const int fd = idle_[part].fd();
      return outer_[part].Update(&index, &fd);
    });
  }
  absl::Status updated;
  for (std::future<absl::Status>& update : updates) updated.Update(update.get());
  RETURN_IF_ERROR(updated);
  idle_ready_ = true;
  return absl::OkStatus();
}

absl::Status RuleSetStore::Fill(const RuleSet& set, const Slot& slot) const {
  RETURN_IF_ERROR(slot[kConfig].Update(&kZero, &set.config));
  RETURN_IF_ERROR(PutAll(slot[kRules], set.network.entries));
  RETURN_IF_ERROR(PutAll(slot[kPorts], Numbered(set.network.port_sets)));
  RETURN_IF_ERROR(PutAll(slot[kPaths], set.paths));
  RETURN_IF_ERROR(PutAll(slot[kFiles], set.found.files));
  RETURN_IF_ERROR(PutAll(slot[kSizes], SizesOf(set.found.digests)));
  RETURN_IF_ERROR(PutAll(slot[kDigests], set.found.digests));
  RETURN_IF_ERROR(PutAll(slot[kPrints], set.found.prints));
  RETURN_IF_ERROR(PutAll(slot[kAllowed], set.found.allowed));
  RETURN_IF_ERROR(PutAll(slot[kAwaited], set.found.awaited));
  return PutAll(slot[kLists], set.found.lists);
}

// Nobody changes a frozen map by a system call. What was found stays open: a path may get another file at any time.
absl::Status RuleSetStore::Freeze(const Slot& slot) const {
  for (const Part part : {kConfig, kRules, kPorts, kPaths}) RETURN_IF_ERROR(slot[part].Freeze());
  return absl::OkStatus();
}

absl::Status RuleSetStore::Verify(const RuleSet& set, const Slot& slot) const {
  ASSIGN_OR_RETURN(const bh_config config, slot[kConfig].Get<bh_config>(kZero));
  if (std::memcmp(&config, &set.config, sizeof(config)) != 0) {
    return absl::DataLossError("the rule set's head in the kernel is not what was written");
  }
  RETURN_IF_ERROR(Compare(slot[kRules], set.network.entries));
  RETURN_IF_ERROR(Compare(slot[kPorts], Numbered(set.network.port_sets)));
  RETURN_IF_ERROR(Compare(slot[kPaths], set.paths));
  return CompareFound(set.found, slot);
}

absl::Status RuleSetStore::CompareFound(const FoundRules& found, const Slot& slot) const {
  RETURN_IF_ERROR(Compare(slot[kFiles], found.files));
  RETURN_IF_ERROR(Compare(slot[kSizes], SizesOf(found.digests)));
  RETURN_IF_ERROR(Compare(slot[kDigests], found.digests));
  RETURN_IF_ERROR(Compare(slot[kPrints], found.prints));
  RETURN_IF_ERROR(Compare(slot[kAllowed], found.allowed));
  RETURN_IF_ERROR(Compare(slot[kAwaited], found.awaited));
  return Compare(slot[kLists], found.lists);
}

void RuleSetStore::Reserve(Part part, size_t entries) {
  if (entries <= capacity_[part]) return;
  capacity_[part] = std::bit_ceil(static_cast<uint32_t>(entries));
  idle_ready_ = false;
}

// What is found grows within a generation, when a path gets another file: there is room for as many again.
void RuleSetStore::ReserveFor(const RuleSet& set) {
  const auto found = [this](Part part, size_t entries) {
    Reserve(part, std::min<size_t>(2 * entries, BH_MAX_EXEC_ENTRIES));
  };
  Reserve(kRules, set.network.entries.size());
  Reserve(kPaths, set.paths.size());
  found(kFiles, set.found.files.size());
  found(kDigests, set.found.digests.size());
  found(kSizes, set.found.digests.size());
  found(kPrints, set.found.prints.size());
}

absl::Status RuleSetStore::Publish(const RuleSet& set) {
  ReserveFor(set);
  RETURN_IF_ERROR(PrepareIdleSlot());
  idle_ready_ = false;  // from here on it is not empty any more
  RETURN_IF_ERROR(Annotate(Fill(set, idle_), "filling the idle rule set"));
  RETURN_IF_ERROR(Annotate(Freeze(idle_), "filling the idle rule set"));
  RETURN_IF_ERROR(Annotate(Verify(set, idle_), "reading the idle rule set back"));
  const uint32_t next = idle_slot() + 1;
  RETURN_IF_ERROR(active_word_.Update(&kZero, &next));
  active_ = next;
  current_ = std::move(idle_);
  idle_ = Slot();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<bh_config>> RuleSetStore::ReadConfig() const {
  ASSIGN_OR_RETURN(const uint32_t active, active_word_.Get<uint32_t>(kZero));
  if (active == 0) return std::nullopt;
  const uint32_t index = active - 1;
  ASSIGN_OR_RETURN(const uint32_t id, outer_[kConfig].Get<uint32_t>(index));
  ASSIGN_OR_RETURN(const BpfMap map, BpfMap::OpenById(id));
  ASSIGN_OR_RETURN(const bh_config config, map.Get<bh_config>(kZero));
  return config;
}

absl::StatusOr<FoundRules> RuleSetStore::ReadFound() const {
  FoundRules found;
  ASSIGN_OR_RETURN(found.files, (ReadAll<bh_file_key, bh_exec_rule>(current_[kFiles])));
  ASSIGN_OR_RETURN(found.digests, (ReadAll<bh_digest_key, bh_digest_rule>(current_[kDigests])));
  ASSIGN_OR_RETURN(found.prints, (ReadAll<bh_print_key, bh_exec_rule>(current_[kPrints])));
  ASSIGN_OR_RETURN(found.lists, ReadLists());
  ASSIGN_OR_RETURN(found.awaited, (ReadAll<bh_path_key, bh_list>(current_[kAwaited])));
  ASSIGN_OR_RETURN(found.allowed, (ReadAll<bh_allow_key, uint32_t>(current_[kAllowed])));
  return found;
}

absl::StatusOr<PathRules> RuleSetStore::ReadPaths() const {
  return ReadAll<bh_path_key, bh_exec_rule>(current_[kPaths]);
}

absl::StatusOr<ListRules> RuleSetStore::ReadLists() const {
  return ReadAll<uint64_t, bh_list>(current_[kLists]);
}

// A size comes before the digest that has it, and goes after: a file of that size is hashed as long as it matters.
absl::Status RuleSetStore::ReplaceFound(const FoundRules& found) {
  RETURN_IF_ERROR(Replace(current_[kFiles], found.files));
  RETURN_IF_ERROR(PutAll(current_[kSizes], SizesOf(found.digests)));
  RETURN_IF_ERROR(Replace(current_[kDigests], found.digests));
  RETURN_IF_ERROR(Replace(current_[kSizes], SizesOf(found.digests)));
  RETURN_IF_ERROR(Replace(current_[kPrints], found.prints));
  RETURN_IF_ERROR(Replace(current_[kAllowed], found.allowed));
  RETURN_IF_ERROR(Replace(current_[kAwaited], found.awaited));
  return Replace(current_[kLists], found.lists);
}

absl::StatusOr<std::vector<std::string>> RuleSetStore::Repair(const std::optional<FoundRules>& found) {
  std::vector<std::string> repaired;
  for (int part = 0; part < kParts && current_[part].valid(); ++part) {
    const uint32_t index = active_ - 1;
    const absl::StatusOr<uint32_t> id = outer_[part].Get<uint32_t>(index);
    if (id.ok() && *id == current_[part].id()) continue;
    const int fd = current_[part].fd();
    RETURN_IF_ERROR(outer_[part].Update(&index, &fd));
    repaired.push_back(absl::StrCat("map ", outer_[part].name(), " was changed by somebody else: put back"));
  }
  ASSIGN_OR_RETURN(const uint32_t active, active_word_.Get<uint32_t>(kZero));
  if (active != active_) {
    RETURN_IF_ERROR(active_word_.Update(&kZero, &active_));
    repaired.push_back("the active rule set was switched by somebody else: switched back");
  }
  if (found.has_value() && current_[kFiles].valid() && !CompareFound(*found, current_).ok()) {
    RETURN_IF_ERROR(ReplaceFound(*found));
    repaired.push_back("identities or contents of blocked or listed files were changed by somebody else: put back");
  }
  return repaired;
}

}  // namespace bulkhead::sensor
