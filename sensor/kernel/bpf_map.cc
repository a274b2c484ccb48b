// One BPF map: thin, checked wrappers around bpf(2).
#include "sensor/kernel/bpf_map.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {

absl::StatusOr<BpfMap> BpfMap::FromFd(UniqueFd fd, absl::string_view what) {
  if (!fd.valid()) return bulkhead::ErrnoToStatus(errno, what);
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
    return ErrnoToStatus(errno, absl::StrCat("identify after ", what));
  BpfMap map;
  map.fd_ = std::move(fd);
  map.id_ = info.id;
  map.max_entries_ = info.max_entries;
  map.name_ = info.name;
  return map;
}

absl::StatusOr<BpfMap> BpfMap::Create(const MapSpec& spec) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = spec.flags);
  return FromFd(UniqueFd(bpf_map_create(static_cast<bpf_map_type>(spec.type), spec.name, spec.key_size, spec.value_size,
                                        spec.max_entries, &options)),
                absl::StrCat("create map ", spec.name));
}

absl::StatusOr<BpfMap> BpfMap::OpenPinned(const std::string& path) {
  return FromFd(UniqueFd(bpf_obj_get(path.c_str())), absl::StrCat("open pinned map ", path));
}

absl::StatusOr<BpfMap> BpfMap::OpenById(uint32_t id) {
  return FromFd(UniqueFd(bpf_map_get_fd_by_id(id)), absl::StrCat("open map with id ", id));
}

absl::Status BpfMap::Update(const void* key, const void* value) const {
  if (bpf_map_update_elem(fd(), key, value, BPF_ANY) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("write to map ", name_));
}

absl::Status BpfMap::Lookup(const void* key, void* value) const {
  if (bpf_map_lookup_elem(fd(), key, value) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("read from map ", name_));
}

absl::Status BpfMap::Delete(const void* key) const {
  if (bpf_map_delete_elem(fd(), key) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("delete from map ", name_));
}

absl::Status BpfMap::Freeze() const {
  if (bpf_map_freeze(fd()) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("freeze map ", name_));
}

absl::Status BpfMap::UpdateMany(const void* keys, const void* values, uint32_t count) const {
  if (count == 0) return absl::OkStatus();
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
  if (bpf_map_update_batch(fd(), keys, values, &count, &options) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat("write to map ", name_));
}

absl::StatusOr<BpfMap::Batch> BpfMap::ReadMany(const std::optional<uint32_t>& position, void* keys, void* values,
                                               size_t most) const {
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  uint32_t from = position.value_or(0);
  Batch batch{static_cast<uint32_t>(most), 0, true};
  const int result = bpf_map_lookup_batch(fd(), position.has_value() ? &from : nullptr, &batch.position, keys, values,
                                          &batch.count, &options);
  if (result == 0) return batch;
  batch.more = false;
  if (errno == ENOENT) return batch;  // the last ones
  if (errno == ENOSPC) return absl::OutOfRangeError("a bucket holds more");
  return ErrnoToStatus(errno, absl::StrCat("read map ", name_));
}

bool BpfMap::NextKey(const void* key, void* next) const {
  return bpf_map_get_next_key(fd(), key, next) == 0;
}

}  // namespace bulkhead::sensor
