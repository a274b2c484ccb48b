// Looks through all links of the kernel.
#include "sensor/kernel/interfaces/attached_link.h"

#include <bpf/bpf.h>

#include "common/unique_fd.h"

namespace bulkhead::sensor {

bool DetachLink(uint32_t type, int interface, uint32_t program) {
  for (uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
    const UniqueFd link(bpf_link_get_fd_by_id(id));
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    if (!link.valid() || bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) continue;
    // Of every type that is on an interface the kernel tells its index first.
    const bool wanted =
        info.type == type && info.prog_id == program && info.xdp.ifindex == static_cast<uint32_t>(interface);
    if (wanted) return bpf_link_detach(link.get()) == 0;
  }
  return false;
}

}  // namespace bulkhead::sensor
