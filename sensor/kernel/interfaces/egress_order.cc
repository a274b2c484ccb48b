// Reads the order of filters through rtnetlink, and detaches tcx programs.
#include "sensor/kernel/interfaces/egress_order.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <array>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bulkhead/decide_in_front.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"
#include "sensor/kernel/interfaces/attached_link.h"

namespace bulkhead::sensor {
namespace {

// ---- tc ----

struct First {
  bool found = false;
  uint16_t priority = 0;
  uint32_t handle = 0;
};

int TakeChain(const nlattr* attribute, void* data) {
  if (mnl_attr_get_type(attribute) == TCA_CHAIN) *static_cast<uint32_t*>(data) = mnl_attr_get_u32(attribute);
  return MNL_CB_OK;
}

// Filters come in the order in which they are asked. One without a handle stands for its priority as a whole.
int TakeFilter(const nlmsghdr* message, void* data) {
  auto* first = static_cast<First*>(data);
  const auto* filter = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  uint32_t chain = 0;
  mnl_attr_parse(message, sizeof(tcmsg), &TakeChain, &chain);
  if (!first->found && filter->tcm_handle != 0 && chain == 0) {
    *first = {true, static_cast<uint16_t>(filter->tcm_info >> 16), filter->tcm_handle};
  }
  return MNL_CB_OK;
}

// ---- tcx: newer than Debian 12's headers ----

constexpr auto kTcxEgress = static_cast<bpf_attach_type>(BH_ATTACH_TCX_EGRESS);
constexpr uint32_t kLinkTypeTcx = 11;   // BPF_LINK_TYPE_TCX
constexpr uint32_t kMostPrograms = 64;  // the kernel allows no more on one interface

bool DetachProgram(int interface, uint32_t program_id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  return program.valid() && bpf_prog_detach2(program.get(), interface, kTcxEgress) == 0;
}

}  // namespace

absl::StatusOr<bool> IsFirstFilter(int interface, uint16_t priority, uint32_t handle) {
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC),
                                                                 &mnl_socket_close);
  std::array<char, 8192> buffer;
  nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETTFILTER;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  auto* const filter = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  filter->tcm_ifindex = interface;
  filter->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return ErrnoToStatus(errno, "ask for the tc filters of an interface");
  }
  First first;
  for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
    const ssize_t bytes = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    more = bytes < 0 ? MNL_CB_ERROR
                     : mnl_cb_run(buffer.data(), static_cast<size_t>(bytes), 0, mnl_socket_get_portid(socket.get()),
                                  &TakeFilter, &first);
    if (more == MNL_CB_ERROR) return ErrnoToStatus(errno, "read the tc filters of an interface");
  }
  return first.found && first.priority == priority && first.handle == handle;
}

void DetachTcx(int interface, const std::string& name, Ended* ended) {
  std::array<uint32_t, kMostPrograms> programs{};
  LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = programs.data(), .prog_cnt = kMostPrograms);
  if (bpf_prog_query_opts(interface, kTcxEgress, &query) != 0) return;
  for (uint32_t i = 0; i < query.prog_cnt && i < kMostPrograms; ++i) {
    const std::string what = absl::StrCat("the tcx program ", programs[i], " on ", name);
    if (DetachProgram(interface, programs[i]) || DetachLink(kLinkTypeTcx, interface, programs[i])) {
      ended->done.push_back(absl::StrCat("detached ", what, ": it was asked before the wall"));
    } else {
      ended->left.push_back(
          absl::StrCat(what, " is asked before the wall and cannot be detached; end what attached it"));
    }
  }
}

}  // namespace bulkhead::sensor
