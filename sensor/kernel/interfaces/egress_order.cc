// Reads the order of filters through rtnetlink, and detaches tcx programs through bpf(2).
#include "sensor/kernel/interfaces/egress_order.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"

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

// ---- tcx: newer than Debian 12's headers; the numbers and layouts are kernel ABI ----

constexpr uint32_t kTcxEgress = 47;  // BPF_TCX_EGRESS
constexpr int kMostPrograms = 64;    // the kernel allows no more on one interface

struct QueryAttributes {
  uint32_t target_interface;
  uint32_t attach_type;
  uint32_t query_flags;
  uint32_t attach_flags;
  uint64_t program_ids;
  uint32_t count;
  uint32_t padding;
  uint64_t program_flags;
  uint64_t link_ids;
  uint64_t link_flags;
  uint64_t revision;
};

struct DetachAttributes {
  uint32_t target_interface;
  uint32_t program_fd;
  uint32_t attach_type;
  uint32_t flags;
  uint32_t replaced_fd;
  uint32_t relative_fd;
  uint64_t expected_revision;
};

template <typename Attributes>
int Bpf(int command, Attributes* attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, attributes, sizeof(*attributes)));
}

int DetachOne(int interface, uint32_t program_id, uint32_t link_id) {
  if (link_id != 0) {
    const UniqueFd link(bpf_link_get_fd_by_id(link_id));
    return link.valid() ? bpf_link_detach(link.get()) : -errno;
  }
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  DetachAttributes attributes{};
  attributes.target_interface = static_cast<uint32_t>(interface);
  attributes.program_fd = static_cast<uint32_t>(program.get());
  attributes.attach_type = kTcxEgress;
  return program.valid() ? Bpf(BPF_PROG_DETACH, &attributes) : -errno;
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

void DetachTcx(int interface, const std::string& name, Detached* detached) {
  std::array<uint32_t, kMostPrograms> programs{};
  std::array<uint32_t, kMostPrograms> links{};
  QueryAttributes query{};
  query.target_interface = static_cast<uint32_t>(interface);
  query.attach_type = kTcxEgress;
  query.program_ids = reinterpret_cast<uint64_t>(programs.data());
  query.link_ids = reinterpret_cast<uint64_t>(links.data());
  query.count = kMostPrograms;
  if (Bpf(BPF_PROG_QUERY, &query) != 0) return;
  for (uint32_t i = 0; i < query.count && i < kMostPrograms; ++i) {
    const std::string what = absl::StrCat("the tcx program ", programs[i], " on ", name);
    if (DetachOne(interface, programs[i], links[i]) == 0) {
      detached->done.push_back(absl::StrCat("detached ", what, ": it was asked before the wall"));
    } else {
      detached->left.push_back(
          absl::StrCat(what, " is asked before the wall and cannot be detached; end what attached it"));
    }
  }
}

}  // namespace bulkhead::sensor
