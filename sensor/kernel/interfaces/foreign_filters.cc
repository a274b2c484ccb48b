// Reads queueing disciplines, classes and filters through rtnetlink, and takes away what is not ours.
#include "sensor/kernel/interfaces/foreign_filters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bulkhead/decide_in_front.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "sensor/kernel/interfaces/attached_link.h"
#include "sensor/kernel/interfaces/rtnetlink.h"

namespace bulkhead::sensor {
namespace {

// ---- Reading ----

// `flags`: NLM_F_* beside NLM_F_REQUEST.
absl::Status Ask(uint16_t type, uint16_t flags, int interface, uint32_t parent, mnl_cb_t take, void* data) {
  std::array<char, 256> buffer;
  nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | flags;
  auto* const traffic = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  traffic->tcm_ifindex = interface;
  traffic->tcm_parent = parent;
  return AskRtnetlink(request, "the traffic control of an interface", take, data);
}

// A dump about one interface. `parent`: of filters.
absl::Status Dump(uint16_t type, int interface, uint32_t parent, mnl_cb_t take, void* data) {
  return Ask(type, NLM_F_DUMP, interface, parent, take, data);
}

struct FilterSearch {
  std::optional<OwnFilter> own;
  bool found = false;
};

// A filter without a handle stands for its priority as a whole.
int TakeFilter(const nlmsghdr* message, void* data) {
  auto* search = static_cast<FilterSearch*>(data);
  const auto* filter = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  const auto priority = static_cast<uint16_t>(filter->tcm_info >> 16);
  const bool ours =
      search->own.has_value() && priority == search->own->priority && filter->tcm_handle == search->own->handle;
  search->found |= filter->tcm_handle != 0 && !ours;
  return MNL_CB_OK;
}

absl::StatusOr<bool> HasForeignFilter(int interface, uint32_t parent, const std::optional<OwnFilter>& own) {
  FilterSearch search{own};
  RETURN_IF_ERROR(Dump(RTM_GETTFILTER, interface, parent, &TakeFilter, &search));
  return search.found;
}

struct HandleSearch {
  int interface = 0;
  std::vector<uint32_t> handles;
};

// A dump of disciplines is about all interfaces, whatever it was asked for.
int TakeHandle(const nlmsghdr* message, void* data) {
  auto* search = static_cast<HandleSearch*>(data);
  const auto* traffic = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  const bool special = TC_H_MAJ(traffic->tcm_handle) == TC_H_MAJ(TC_H_CLSACT);
  if (traffic->tcm_ifindex == search->interface && traffic->tcm_handle != 0 && !special) {
    search->handles.push_back(traffic->tcm_handle);
  }
  return MNL_CB_OK;
}

// Filters hang on disciplines and on their classes; a discipline that the kernel chose has the handle 0.
absl::StatusOr<bool> DisciplinesHaveFilters(int interface) {
  HandleSearch search{interface, {0}};
  RETURN_IF_ERROR(Dump(RTM_GETQDISC, interface, 0, &TakeHandle, &search));
  RETURN_IF_ERROR(Dump(RTM_GETTCLASS, interface, 0, &TakeHandle, &search));
  for (const uint32_t parent : search.handles) {
    // Most have no room for filters, which the kernel answers with an error.
    const absl::StatusOr<bool> found = HasForeignFilter(interface, parent, std::nullopt);
    if (found.ok() && *found) return true;
  }
  return false;
}

// ---- Taking away ----

// tcx is newer than Debian 12's headers.
constexpr uint32_t kLinkTypeTcx = 11;   // BPF_LINK_TYPE_TCX
constexpr uint32_t kMostPrograms = 64;  // the kernel allows no more on one interface

bool DetachProgram(int interface, uint32_t program_id, bpf_attach_type where) {
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  return program.valid() && bpf_prog_detach2(program.get(), interface, where) == 0;
}

void DetachTcx(int interface, const std::string& name, bpf_attach_type where, Ended* ended) {
  std::array<uint32_t, kMostPrograms> programs{};
  LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = programs.data(), .prog_cnt = kMostPrograms);
  if (bpf_prog_query_opts(interface, where, &query) != 0) return;  // no tcx here
  for (uint32_t i = 0; i < query.prog_cnt && i < kMostPrograms; ++i) {
    const std::string what = absl::StrCat("the tcx program ", programs[i], " on ", name);
    if (DetachLink(kLinkTypeTcx, interface, programs[i]) || DetachProgram(interface, programs[i], where)) {
      ended->done.push_back(absl::StrCat("detached ", what, ": it was asked before the wall"));
    } else {
      ended->left.push_back(
          absl::StrCat(what, " is asked before the wall, and cannot be detached; end what attached it"));
    }
  }
}

absl::Status RemoveClsact(int interface) {
  bpf_tc_hook hook{};
  hook.sz = sizeof(hook);
  hook.ifindex = interface;
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  const int error = bpf_tc_hook_destroy(&hook);
  return error == 0 ? absl::OkStatus() : ErrnoToStatus(-error, "remove the tc filters of an interface");
}

absl::Status RemoveRootDiscipline(int interface) {
  return Ask(RTM_DELQDISC, NLM_F_ACK, interface, TC_H_ROOT, nullptr, nullptr);
}

}  // namespace

absl::StatusOr<bool> TakeForeignFilters(int interface, const std::string& name, const std::optional<OwnFilter>& own,
                                        Ended* ended) {
  for (const int where : {BH_ATTACH_TCX_INGRESS, BH_ATTACH_TCX_EGRESS}) {
    DetachTcx(interface, name, static_cast<bpf_attach_type>(where), ended);
  }
  bool clsact = false;
  for (const uint32_t side : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    ASSIGN_OR_RETURN(const bool found, HasForeignFilter(interface, TC_H_MAKE(TC_H_CLSACT, side), own));
    clsact |= found;
  }
  if (clsact) {
    RETURN_IF_ERROR(RemoveClsact(interface));
    ended->done.push_back(absl::StrCat("removed the tc filters on ", name, ": they can change what the wall let by"));
  }
  ASSIGN_OR_RETURN(const bool disciplines, DisciplinesHaveFilters(interface));
  if (disciplines) {
    RETURN_IF_ERROR(RemoveRootDiscipline(interface));
    ended->done.push_back(
        absl::StrCat("removed the queueing discipline of ", name, ": its filters can change what the wall let by"));
  }
  return clsact;
}

}  // namespace bulkhead::sensor
