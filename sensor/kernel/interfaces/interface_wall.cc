// Attaches interfaces.bpf.c as tc filters, and sees to it that they stay.
#include "sensor/kernel/interfaces/interface_wall.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "interfaces.skel.h"
#include "sensor/kernel/interfaces/foreign_filters.h"

namespace bulkhead::sensor {
namespace {

// First in the list, under a handle that nobody takes by default.
constexpr uint32_t kPriority = 1;
constexpr uint32_t kHandle = 0xb17;
constexpr char kOut[] = "bh_if_out";
constexpr char kIn[] = "bh_if_in";

struct Filter {
  bpf_tc_hook hook;
  bpf_tc_opts options;
};

Filter FilterOn(int interface, bpf_tc_attach_point point) {
  Filter filter{};
  filter.hook.sz = sizeof(filter.hook);
  filter.hook.ifindex = interface;
  filter.hook.attach_point = point;
  filter.options.sz = sizeof(filter.options);
  filter.options.handle = kHandle;
  filter.options.priority = kPriority;
  return filter;
}

std::string NameOf(int interface) {
  char name[IF_NAMESIZE] = {};
  return if_indextoname(interface, name) != nullptr ? name : absl::StrCat("interface ", interface);
}

// Kernel id of our filter's program; 0: there is no such filter.
uint32_t AttachedId(int interface, bpf_tc_attach_point point) {
  Filter filter = FilterOn(interface, point);
  return bpf_tc_query(&filter.hook, &filter.options) == 0 ? filter.options.prog_id : 0;
}

absl::Status Attach(int interface, bpf_tc_attach_point point, const bpf_program* program) {
  Filter filter = FilterOn(interface, point);
  filter.options.prog_fd = bpf_program__fd(program);
  filter.options.flags = BPF_TC_F_REPLACE;
  const int error = bpf_tc_attach(&filter.hook, &filter.options);
  if (error == 0) return absl::OkStatus();
  return ErrnoToStatus(-error, absl::StrCat("attach ", bpf_program__name(program), " to ", NameOf(interface)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<InterfaceWall>> InterfaceWall::Open(const std::string& pin_directory, Finder find) {
  size_t size = 0;
  const void* bytes = interfaces_bpf::elf_bytes(&size);
  ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, {kOut, kIn}));
  RETURN_IF_ERROR(LoadObject(object.get(), pin_directory));
  std::unique_ptr<InterfaceWall> wall(new InterfaceWall(std::move(object), std::move(find)));
  ASSIGN_OR_RETURN(const ProgramFacts out, FactsOf(bpf_program__fd(wall->Program(kOut))));
  ASSIGN_OR_RETURN(const ProgramFacts in, FactsOf(bpf_program__fd(wall->Program(kIn))));
  wall->out_id_ = out.id;
  wall->in_id_ = in.id;
  return wall;
}

void InterfaceWall::Remove(const std::vector<int>& interfaces) {
  for (const int interface : interfaces) {
    for (const bpf_tc_attach_point point : {BPF_TC_EGRESS, BPF_TC_INGRESS}) {
      Filter filter = FilterOn(interface, point);
      (void)bpf_tc_detach(&filter.hook, &filter.options);  // there may be none
    }
  }
}

const bpf_program* InterfaceWall::Program(const char* name) const {
  return bpf_object__find_program_by_name(object_.get(), name);
}

absl::Status InterfaceWall::AttachTo(int interface) {
  Filter filter = FilterOn(interface, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  const int error = bpf_tc_hook_create(&filter.hook);
  if (error != 0 && error != -EEXIST) {
    return ErrnoToStatus(-error, absl::StrCat("make the clsact queueing discipline of ", NameOf(interface)));
  }
  RETURN_IF_ERROR(Attach(interface, BPF_TC_EGRESS, Program(kOut)));
  return Attach(interface, BPF_TC_INGRESS, Program(kIn));
}

absl::StatusOr<std::vector<std::string>> InterfaceWall::Maintain() {
  std::vector<std::string> repaired;
  const std::vector<int> interfaces = find_();
  for (const int interface : interfaces) {
    const bool attached =
        AttachedId(interface, BPF_TC_EGRESS) == out_id_ && AttachedId(interface, BPF_TC_INGRESS) == in_id_;
    if (attached) continue;
    RETURN_IF_ERROR(AttachTo(interface));
    if (std::find(guarded_.begin(), guarded_.end(), interface) != guarded_.end()) {
      repaired.push_back(absl::StrCat("the filters on ", NameOf(interface), " were taken away: attached again"));
    }
  }
  guarded_ = interfaces;
  return repaired;
}

absl::Status InterfaceWall::StandAlone(Ended* ended) {
  for (const int interface : guarded_) {
    ASSIGN_OR_RETURN(const bool gone,
                     TakeForeignFilters(interface, NameOf(interface), OwnFilter{kPriority, kHandle}, ended));
    if (gone) RETURN_IF_ERROR(AttachTo(interface));
  }
  return absl::OkStatus();
}

std::vector<AttachedProgram> InterfaceWall::programs() const {
  std::vector<AttachedProgram> described;
  for (const int interface : guarded_) {
    described.push_back({kOut, out_id_, 0, NameOf(interface)});
    described.push_back({kIn, in_id_, 0, NameOf(interface)});
  }
  return described;
}

}  // namespace bulkhead::sensor
