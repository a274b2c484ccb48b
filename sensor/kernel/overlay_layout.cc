// Where this kernel's overlay module keeps the file behind a file: struct ovl_inode, by BTF.
#include "sensor/kernel/overlay_layout.h"

#include <bpf/btf.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>

namespace bulkhead::sensor {
namespace {

using BtfPtr = std::unique_ptr<btf, void (*)(btf*)>;

// Byte offset of a member of a named structure.
std::optional<uint32_t> OffsetOf(const btf* types, const char* structure, const char* member) {
  const int id = btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
  if (id < 0) return std::nullopt;
  const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(id));
  const btf_member* members = btf_members(type);
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    if (std::strcmp(btf__name_by_offset(types, members[i].name_off), member) == 0) {
      return btf_member_bit_offset(type, i) / 8;
    }
  }
  return std::nullopt;
}

bh_overlay LayoutFrom(const btf* types) {
  bh_overlay layout{};
  const auto self = OffsetOf(types, "ovl_inode", "vfs_inode");
  const auto upper = OffsetOf(types, "ovl_inode", "__upperdentry");
  const auto dentry = OffsetOf(types, "ovl_path", "dentry");
  if (!self || !upper || !dentry || *upper < *self) return layout;
  layout.upper = *upper - *self;
  // From 5.19 the inode holds the lower path itself; from 6.5 an entry that holds all of them.
  const auto path = OffsetOf(types, "ovl_inode", "lowerpath");
  const auto entry = OffsetOf(types, "ovl_inode", "oe");
  const auto stack = OffsetOf(types, "ovl_entry", "__lowerstack");
  if (path && *path > *self) {
    layout.lower = *path - *self + *dentry;
  } else if (entry && stack && *entry > *self) {
    layout.lower = *entry - *self;
    layout.entry = *stack + *dentry;
  } else {
    return bh_overlay{};
  }
  layout.known = 1;
  return layout;
}

}  // namespace

bh_overlay ReadOverlayLayout() {
  const BtfPtr kernel(btf__load_vmlinux_btf(), btf__free);
  if (kernel == nullptr) return bh_overlay{};
  if (btf__find_by_name_kind(kernel.get(), "ovl_inode", BTF_KIND_STRUCT) >= 0) return LayoutFrom(kernel.get());
  if (access("/sys/kernel/btf/overlay", R_OK) != 0) return bh_overlay{};
  const BtfPtr module(btf__load_module_btf("overlay", kernel.get()), btf__free);
  return module == nullptr ? bh_overlay{} : LayoutFrom(module.get());
}

}  // namespace bulkhead::sensor
