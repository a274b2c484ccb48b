// Follows a tree of processes while it is killed.
#include "sensor/kernel/fork_watch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "kill.skel.h"
#include "sensor/kernel/libbpf_log.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kZero = 0;
constexpr char kProgram[] = "bh_rtp_fork";

absl::StatusOr<BpfMap> MapOf(bpf_object* object, const char* name) {
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(bpf_object__find_map_fd_by_name(object, name), &info, &size) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("look at map ", name));
  }
  return BpfMap::OpenById(info.id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ForkWatch>> ForkWatch::Start() {
  size_t size = 0;
  const void* bytes = kill_bpf::elf_bytes(&size);
  ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, {kProgram}));
  RETURN_IF_ERROR(LoadObject(object.get(), ""));
  std::unique_ptr<ForkWatch> watch(new ForkWatch(std::move(object)));
  RETURN_IF_ERROR(watch->Attach());
  return watch;
}

ForkWatch::~ForkWatch() {
  bpf_link__destroy(link_);
}

absl::Status ForkWatch::Attach() {
  ASSIGN_OR_RETURN(tree_, MapOf(object_.get(), "bh_tree"));
  ASSIGN_OR_RETURN(hunt_, MapOf(object_.get(), "bh_hunt"));
  TakeLibbpfWarning();
  link_ = bpf_program__attach(bpf_object__find_program_by_name(object_.get(), kProgram));
  if (link_ == nullptr) return ErrnoToStatus(errno, absl::StrCat("attach ", kProgram, ": ", TakeLibbpfWarning()));
  return absl::OkStatus();
}

absl::Status ForkWatch::Add(const std::vector<ProcessKey>& processes) {
  for (const ProcessKey& process : processes) {
    const bh_process key{process.start_time_ticks, process.pid, 0};
    if (tree_.Get<bh_member>(key).ok()) continue;
    const bh_member member{};
    RETURN_IF_ERROR(tree_.Update(&key, &member));
  }
  return absl::OkStatus();
}

absl::Status ForkWatch::Arm(const Scope& scope) {
  ASSIGN_OR_RETURN(bh_hunt hunt, hunt_.Get<bh_hunt>(kZero));
  hunt.scope_cgroup = scope.id;
  hunt.scope_level = scope.level;
  hunt.armed = 1;
  return hunt_.Update(&kZero, &hunt);
}

absl::StatusOr<std::vector<ForkWatch::Member>> ForkWatch::Members() const {
  ASSIGN_OR_RETURN(const std::vector<bh_process> keys, tree_.Keys<bh_process>());
  std::vector<Member> members;
  for (const bh_process& key : keys) {
    const absl::StatusOr<bh_member> member = tree_.Get<bh_member>(key);
    if (member.ok()) members.push_back({{key.tgid, key.started}, member->parent != 0, member->killed != 0});
  }
  return members;
}

uint64_t ForkWatch::lost() const {
  const absl::StatusOr<bh_hunt> hunt = hunt_.Get<bh_hunt>(kZero);
  return hunt.ok() ? hunt->lost : 0;
}

}  // namespace bulkhead::sensor
