// Detaches XDP programs, by netlink and through their links.
#include "sensor/kernel/interfaces/xdp_programs.h"

#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "sensor/kernel/interfaces/attached_link.h"

namespace bulkhead::sensor {
namespace {

// An interface has at most one of each kind.
struct Kind {
  uint32_t flag;
  uint32_t program;  // 0: none
};

std::array<Kind, 3> AttachedTo(int interface) {
  LIBBPF_OPTS(bpf_xdp_query_opts, found);
  if (bpf_xdp_query(interface, 0, &found) != 0) return {};
  return {{{XDP_FLAGS_SKB_MODE, found.skb_prog_id},
           {XDP_FLAGS_DRV_MODE, found.drv_prog_id},
           {XDP_FLAGS_HW_MODE, found.hw_prog_id}}};
}

void Detach(const struct if_nameindex& interface, const Kind& kind, Ended* ended) {
  const int index = static_cast<int>(interface.if_index);
  const std::string what = absl::StrCat("the XDP program ", kind.program, " on ", interface.if_name);
  if (bpf_xdp_detach(index, kind.flag, nullptr) == 0 || DetachLink(BPF_LINK_TYPE_XDP, index, kind.program)) {
    ended->done.push_back(absl::StrCat("detached ", what, ": what it sends passes no wall"));
  } else {
    ended->left.push_back(absl::StrCat(what, " may send past the wall, and cannot be detached; end what attached it"));
  }
}

}  // namespace

void DetachXdp(Ended* ended) {
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> all(if_nameindex(), &if_freenameindex);
  for (const struct if_nameindex* one = all.get(); one != nullptr && one->if_index != 0; ++one) {
    for (const Kind& kind : AttachedTo(static_cast<int>(one->if_index))) {
      if (kind.program != 0) Detach(*one, kind, ended);
    }
  }
}

}  // namespace bulkhead::sensor
