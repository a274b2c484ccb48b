// Loads frames.bpf.c as LSM or fmod_ret programs and proves that the kernel calls them.
#include "sensor/kernel/frames/frame_wall.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/decide_frames.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "frames.skel.h"

namespace bulkhead::sensor {
namespace {

constexpr std::array<const char*, BH_FRAMES_COUNTERS> kCounterNames = {
    "frames_denied_socket",      "frames_denied_send",     "frames_denied_receive",    "frames_denied_tun_device",
    "frames_denied_kernel_code", "frames_denied_in_front", "frames_would_deny_shadow", "frames_fail_no_rule_set",
};

}  // namespace

void FrameWall::Unload::operator()(frames_bpf* skeleton) const {
  frames_bpf__destroy(skeleton);
}

FrameWall::FrameWall(Skeleton skeleton, HookKind kind, std::string pin_directory, std::vector<AttachedProgram> programs)
    : skeleton_(std::move(skeleton)),
      kind_(kind),
      pin_directory_(std::move(pin_directory)),
      programs_(std::move(programs)) {}

FrameWall::~FrameWall() = default;

absl::StatusOr<std::unique_ptr<FrameWall>> FrameWall::Open(const std::string& pin_directory) {
  std::string reasons;
  for (const HookKind kind : HookKindsToTry()) {
    absl::StatusOr<std::unique_ptr<FrameWall>> wall = OpenAs(kind, pin_directory);
    if (wall.ok()) return wall;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", HookKindName(kind), ": ", wall.status().message());
  }
  return absl::FailedPreconditionError(absl::StrCat("no security hook works on this kernel (", reasons, ")"));
}

absl::StatusOr<std::unique_ptr<FrameWall>> FrameWall::OpenAs(HookKind kind, const std::string& pin_directory) {
  Skeleton skeleton(frames_bpf__open());
  if (skeleton == nullptr) return ErrnoToStatus(errno, "open the frames programs");
  RETURN_IF_ERROR(TargetSecurityHooks(skeleton->obj, kind, {}));
  RETURN_IF_ERROR(ShareMapsByPin(skeleton->obj, pin_directory));
  const int error = frames_bpf__load(skeleton.get());
  if (error != 0) return ErrnoToStatus(error, absl::StrCat("load the frames programs as ", HookKindName(kind)));
  absl::StatusOr<std::vector<AttachedProgram>> programs = AttachAndPin(skeleton->obj, pin_directory, kPinPrefix);
  if (!programs.ok()) return programs.status();
  std::unique_ptr<FrameWall> wall(new FrameWall(std::move(skeleton), kind, pin_directory, *std::move(programs)));
  const absl::Status proved = wall->Prove();
  if (!proved.ok()) {
    RETURN_IF_ERROR(Remove(pin_directory));
    return proved;
  }
  return wall;
}

absl::Status FrameWall::Remove(const std::string& pin_directory) {
  return RemovePins(pin_directory, kPinPrefix);
}

// The probe meets one program; the others are there as long as their pins are.
absl::Status FrameWall::Prove() const {
  const std::vector<std::string> lost = FindDetached(programs_, pin_directory_, kPinPrefix);
  if (!lost.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("somebody detached ", absl::StrJoin(lost, ", ")));
  }
  skeleton_->bss->bh_f_probe_family = AF_UNIX;
  skeleton_->bss->bh_f_probe_tid = static_cast<uint32_t>(gettid());
  const UniqueFd probe(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int error = errno;
  skeleton_->bss->bh_f_probe_tid = 0;
  if (probe.valid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("programs on ", HookKindName(kind_),
                     " hooks are attached and not called (lsm= without bpf, or ftrace_enabled=0)"));
  }
  if (error != EPERM) return ErrnoToStatus(error, "open the probe's socket");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Counter>> FrameWall::Counters() const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return ErrnoToStatus(cpus, "count the CPUs");
  std::vector<uint64_t> values(cpus);
  std::vector<Counter> counters;
  for (uint32_t index = 0; index < BH_FRAMES_COUNTERS; ++index) {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.bh_f_count), &index, values.data()) != 0) {
      return ErrnoToStatus(errno, absl::StrCat("read the counter ", kCounterNames[index]));
    }
    counters.push_back({kCounterNames[index], std::accumulate(values.begin(), values.end(), uint64_t{0})});
  }
  return counters;
}

}  // namespace bulkhead::sensor
