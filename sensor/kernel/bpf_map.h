// One BPF map as a value that owns its descriptor.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

// What bpf(BPF_MAP_CREATE) needs.
struct MapSpec {
  uint32_t type = 0;  // BPF_MAP_TYPE_*
  const char* name = "";
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t max_entries = 0;
  uint32_t flags = 0;
};

// Keys are compared as the kernel does, byte by byte.
template <typename Key>
bool Holds(const std::vector<Key>& keys, const Key& wanted) {
  return std::any_of(keys.begin(), keys.end(),
                     [&wanted](const Key& key) { return std::memcmp(&key, &wanted, sizeof(Key)) == 0; });
}

// Keys and values are passed as pointers to objects of exactly the map's sizes. Errors carry the map's name. Not thread
// safe.
class BpfMap {
 public:
  BpfMap() = default;

  static absl::StatusOr<BpfMap> Create(const MapSpec& spec);
  // NotFound when nothing is pinned there.
  static absl::StatusOr<BpfMap> OpenPinned(const std::string& path);
  static absl::StatusOr<BpfMap> OpenById(uint32_t id);

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  // Kernel id; never used twice during a boot.
  uint32_t id() const { return id_; }
  const std::string& name() const { return name_; }

  absl::Status Update(const void* key, const void* value) const;
  // NotFound when there is no such key.
  absl::Status Lookup(const void* key, void* value) const;
  // OK when there is no such key.
  absl::Status Delete(const void* key) const;
  // Makes the map read-only for system calls for ever.
  absl::Status Freeze() const;

  // Puts many elements; `keys` and `values` are arrays of `count` objects.
  absl::Status UpdateMany(const void* keys, const void* values, uint32_t count) const;

  // All keys, in the map's order.
  template <typename Key>
  absl::StatusOr<std::vector<Key>> Keys() const {
    std::vector<Key> keys;
    Key key;
    bool more = NextKey(nullptr, &key);
    while (more && keys.size() <= max_entries_) {
      keys.push_back(key);
      more = NextKey(&keys.back(), &key);
    }
    return keys;
  }

  // Makes a map of single bytes hold exactly these keys: adds first, then removes. Returns how many changed.
  template <typename Key>
  absl::StatusOr<size_t> SetKeys(const std::vector<Key>& wanted) const {
    const absl::StatusOr<std::vector<Key>> present = Keys<Key>();
    if (!present.ok()) return present.status();
    const uint8_t one = 1;
    size_t changed = 0;
    for (const Key& key : wanted) {
      if (Holds(*present, key)) continue;
      const absl::Status added = Update(&key, &one);
      if (!added.ok()) return added;
      ++changed;
    }
    for (const Key& key : *present) {
      if (Holds(wanted, key)) continue;
      const absl::Status removed = Delete(&key);
      if (!removed.ok()) return removed;
      ++changed;
    }
    return changed;
  }

  // All elements of a hash map, in the map's order, many with each system call. What others change meanwhile may be in
  // it or not.
  template <typename Key, typename Value>
  absl::StatusOr<std::vector<std::pair<Key, Value>>> Entries() const {
    std::vector<std::pair<Key, Value>> entries;
    std::vector<Key> keys(kReadAtOnce);
    std::vector<Value> values(kReadAtOnce);
    std::optional<uint32_t> position;
    bool more = true;
    while (more) {
      const absl::StatusOr<Batch> read = ReadMany(position, keys.data(), values.data(), keys.size());
      if (absl::IsOutOfRange(read.status())) {
        keys.resize(keys.size() * 2);
        values.resize(keys.size());
        continue;
      }
      if (!read.ok()) return read.status();
      for (uint32_t i = 0; i < read->count; ++i) entries.emplace_back(keys[i], values[i]);
      position = read->position;
      more = read->more;
    }
    return entries;
  }

  template <typename Value, typename Key>
  absl::StatusOr<Value> Get(const Key& key) const {
    Value value{};
    const absl::Status found = Lookup(&key, &value);
    if (!found.ok()) return found;
    return value;
  }

 private:
  static constexpr size_t kReadAtOnce = 1024;
  struct Batch {
    uint32_t count = 0;
    uint32_t position = 0;  // where the next one begins
    bool more = false;
  };
  // From `position` on, or from the start. OutOfRange: more elements share one place than `most`.
  absl::StatusOr<Batch> ReadMany(const std::optional<uint32_t>& position, void* keys, void* values, size_t most) const;

  static absl::StatusOr<BpfMap> FromFd(UniqueFd fd, absl::string_view what);
  bool NextKey(const void* key, void* next) const;

  UniqueFd fd_;
  uint32_t id_ = 0;
  uint32_t max_entries_ = 0;
  std::string name_;
};

}  // namespace bulkhead::sensor
