// Loads guard.bpf.c, tells it what to protect, and switches it.
#include "sensor/kernel/guard/tamper_guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bulkhead/decide_guard.h"
#include "common/errno_status.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "guard.skel.h"
#include "sensor/kernel/guard/guarded_files.h"
#include "sensor/kernel/guard/own_objects.h"

namespace bulkhead::sensor {
namespace {

constexpr std::array<const char*, BH_GUARD_COUNTERS> kCounterNames = {
    "guard_denied_signal",      "guard_denied_trace",       "guard_denied_limit",        "guard_denied_file",
    "guard_denied_mount",       "guard_denied_cgroup",      "guard_denied_bpf_object",   "guard_denied_bpf_program",
    "guard_denied_kernel_knob", "guard_denied_kernel_code", "guard_denied_foreign_code", "guard_trust_lost",
    "guard_fail_object_table",
};

// file_truncate came with 6.2; before, path_truncate sees what it sees.
const std::vector<std::string>& OptionalPrograms() {
  static const auto* const programs = new std::vector<std::string>{"bh_g_ftruncate"};
  return *programs;
}

absl::StatusOr<uint32_t> NamespaceInode(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, absl::StrCat("read ", path));
  return static_cast<uint32_t>(info.st_ino);
}

// The cgroup v2 line of /proc/self/cgroup: "0::/system.slice/bulkhead-sensor.service".
std::string OwnCgroup() {
  std::ifstream lines("/proc/self/cgroup");
  std::string line;
  while (std::getline(lines, line)) {
    if (absl::StartsWith(line, "0::")) return line.substr(3);
  }
  return "";
}

std::string CgroupMount() {
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    if (access(absl::StrCat(mount, "/cgroup.subtree_control").c_str(), F_OK) == 0) return mount;
  }
  return "";
}

constexpr char kMapPrefix[] = "bh_g";  // bh_guard, bh_g_*: no map of the datapath begins so
constexpr char kGuardMap[] = "bh_guard";

constexpr char kGuardIsUp[] =
    "the tamper guard is up: it keeps root from stopping, changing or removing the sensor. Lower it first: bulkheadctl "
    "sensor lower-guard SENSOR, or at this console bulkhead-sensor lower-guard with the offline code";

std::string GuardPin(const std::string& pin_directory) {
  return absl::StrCat(pin_directory, "/", kGuardMap);
}

bpf_map_info MapInfo(int map) {
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  bpf_obj_get_info_by_fd(map, &info, &size);  // an error leaves a map without a name
  return info;
}

absl::StatusOr<bh_guard> ReadGuard(int map) {
  const uint32_t zero = 0;
  bh_guard guard{};
  if (bpf_map_lookup_elem(map, &zero, &guard) != 0) return ErrnoToStatus(errno, "read the guard's state");
  return guard;
}

GuardSwitch SwitchOf(const bh_guard& guard) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const uint64_t nanoseconds = now.tv_sec * BH_NSEC_PER_SEC + now.tv_nsec;
  GuardSwitch out{guard.enabled != 0};
  if (guard.lowered_until > nanoseconds) out.lowered_for = absl::Nanoseconds(guard.lowered_until - nanoseconds);
  return out;
}

// 64 bits are enough: who could choose another preimage could choose the program's file as well.
uint64_t Fingerprint(const std::string& told) {
  uint64_t out;
  std::memcpy(&out, Sha256(told).data(), sizeof(out));
  return out;
}

absl::Status RemoveGuardPins(const std::string& directory) {
  RETURN_IF_ERROR(RemovePins(directory, KernelTamperGuard::kPinPrefix));
  return RemovePins(directory, kMapPrefix);
}

}  // namespace

void KernelTamperGuard::Unload::operator()(guard_bpf* skeleton) const {
  guard_bpf__destroy(skeleton);
}

KernelTamperGuard::KernelTamperGuard(TamperGuardOptions options, Skeleton skeleton, HookKind kind)
    : options_(std::move(options)), skeleton_(std::move(skeleton)), kind_(kind), cgroup_(OwnCgroup()) {}

KernelTamperGuard::~KernelTamperGuard() = default;

absl::StatusOr<std::unique_ptr<KernelTamperGuard>> KernelTamperGuard::Open(const TamperGuardOptions& options) {
  std::string reasons;
  for (const HookKind kind : HookKindsToTry()) {
    absl::StatusOr<std::unique_ptr<KernelTamperGuard>> guard = OpenAs(kind, options);
    if (guard.ok() || absl::IsPermissionDenied(guard.status())) return guard;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", HookKindName(kind), ": ", guard.status().message());
  }
  return absl::FailedPreconditionError(absl::StrCat("no tamper guard on this kernel (", reasons, ")"));
}

absl::StatusOr<std::unique_ptr<KernelTamperGuard>> KernelTamperGuard::OpenAs(HookKind kind,
                                                                             const TamperGuardOptions& options) {
  Skeleton skeleton(guard_bpf__open());
  if (skeleton == nullptr) return ErrnoToStatus(errno, "open the guard's programs");
  RETURN_IF_ERROR(TargetSecurityHooks(skeleton->obj, kind, OptionalPrograms()));
  const bool together = options.rule_set_directory.empty();
  RETURN_IF_ERROR(ShareMapsByPin(skeleton->obj, together ? options.pin_directory : options.rule_set_directory));
  RETURN_IF_ERROR(ShareMapsByPin(skeleton->obj, options.pin_directory, kMapPrefix));
  const int error = guard_bpf__load(skeleton.get());
  if (error == -EPERM || error == -EACCES) {
    return absl::PermissionDeniedError(
        "a tamper guard is up and does not take this process for the sensor: its program, libraries or cgroup differ "
        "from those of the sensor that enabled it. Lower the guard by an order or the offline code, or reboot");
  }
  if (error != 0) return ErrnoToStatus(error, absl::StrCat("load the guard's programs as ", HookKindName(kind)));
  std::unique_ptr<KernelTamperGuard> guard(new KernelTamperGuard(options, std::move(skeleton), kind));
  ASSIGN_OR_RETURN(const bh_guard found, ReadGuard(bpf_map__fd(guard->skeleton_->maps.bh_guard)));
  if (SwitchOf(found).up() && found.options != Fingerprint(options.told)) {
    return absl::PermissionDeniedError(
        "a tamper guard is up, and this sensor has other options (state directory) than the one that enabled it. Lower "
        "the guard by an order or the offline code first, or reboot");
  }
  ASSIGN_OR_RETURN(guard->programs_, AttachAndPin(guard->skeleton_->obj, options.pin_directory, kPinPrefix));
  const absl::Status proved = guard->Prove();
  if (!proved.ok()) {
    RETURN_IF_ERROR(RemovePins(options.pin_directory, kPinPrefix));
    return proved;
  }
  RETURN_IF_ERROR(guard->Adopt());
  return guard;
}

// While the guard is lowered anybody can take programs away, and it is to come back whole. All are loaded anew: a
// program that still is attached cannot be attached once more.
absl::StatusOr<std::string> KernelTamperGuard::AttachLost() {
  const std::vector<std::string> lost = FindDetached(programs_, options_.pin_directory, kPinPrefix);
  if (lost.empty()) return std::string();
  ASSIGN_OR_RETURN(const std::unique_ptr<KernelTamperGuard> fresh, OpenAs(kind_, options_));
  skeleton_ = std::move(fresh->skeleton_);
  programs_ = std::move(fresh->programs_);
  return absl::StrCat("programs of the guard were detached by somebody else: attached again (",
                      absl::StrJoin(lost, ", "), ")");
}

absl::Status KernelTamperGuard::Adopt() const {
  ASSIGN_OR_RETURN(const GuardSwitch found, Read());
  if (!found.up()) return absl::OkStatus();
  bh_guard_request request{};
  request.command = BH_GUARD_CONFIRM;
  RETURN_IF_ERROR(Control(request, "take over the guard of an earlier sensor"));
  return TouchOwnObjects(options_.pin_directory);
}

absl::Status KernelTamperGuard::Enable() {
  ASSIGN_OR_RETURN(const std::vector<GuardedFile> files, CollectGuardedFiles(options_.files, options_.trees));
  for (const GuardedFile& file : files) RETURN_IF_ERROR(Protect(file.path, file.flags));
  bh_guard_request request{};
  request.command = BH_GUARD_ENABLE;
  request.options = Fingerprint(options_.told);
  ASSIGN_OR_RETURN(request.mount_ns, NamespaceInode("/proc/1/ns/mnt"));
  cgroup_ = OwnCgroup();
  RETURN_IF_ERROR(
      Control(request, "enable the guard; the sensor must be in a cgroup v2 below the root, at most 16 levels deep"));
  return TouchOwnObjects(options_.pin_directory);
}

absl::Status KernelTamperGuard::Protect(const std::string& path, uint32_t flags) const {
  const UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) return errno == ENOENT ? absl::OkStatus() : ErrnoToStatus(errno, absl::StrCat("open ", path));
  bh_guard_request request{};
  request.command = BH_GUARD_PROTECT;
  request.fd = fd.get();
  request.flags = flags;
  return Control(request, absl::StrCat("protect ", path, "; at most ", BH_GUARD_MAX_FILES, " files are"));
}

// A directory that the sensor made, such as that of a renewed identity.
absl::Status KernelTamperGuard::ProtectTrees() const {
  for (const GuardedFile& file : CollectTrees(options_.trees)) RETURN_IF_ERROR(Protect(file.path, file.flags));
  return absl::OkStatus();
}

absl::Status KernelTamperGuard::Lower(absl::Duration duration) {
  bh_guard_request request{};
  request.command = BH_GUARD_LOWER;
  request.nanoseconds = absl::ToInt64Nanoseconds(std::max(duration, absl::ZeroDuration()));
  return Control(request, "lower the guard");
}

absl::Status KernelTamperGuard::Disable() {
  bh_guard_request request{};
  request.command = BH_GUARD_DISABLE;
  RETURN_IF_ERROR(Control(request, "disable the guard"));
  return RemoveGuardPins(options_.pin_directory);
}

absl::StatusOr<std::vector<std::string>> KernelTamperGuard::Maintain() {
  std::vector<std::string> repaired;
  ASSIGN_OR_RETURN(std::string attached, AttachLost());
  if (!attached.empty()) repaired.push_back(std::move(attached));
  RETURN_IF_ERROR(TouchOwnObjects(options_.pin_directory));
  RETURN_IF_ERROR(ProtectTrees());
  ASSIGN_OR_RETURN(std::string moved, GoHome());
  if (!moved.empty()) repaired.push_back(std::move(moved));
  return repaired;
}

absl::StatusOr<std::string> KernelTamperGuard::GoHome() {
  const std::string now = OwnCgroup();
  if (now == cgroup_) return std::string();
  std::ofstream(absl::StrCat(CgroupMount(), cgroup_, "/cgroup.procs")) << "0";
  if (OwnCgroup() == cgroup_) {
    return absl::StrCat("somebody moved the sensor to cgroup ", now, "; it is back in ", cgroup_);
  }
  return absl::InternalError(absl::StrCat("the sensor was moved to cgroup ", now, " and cannot go back to ", cgroup_));
}

absl::Status KernelTamperGuard::Prove() const {
  const int nice = getpriority(PRIO_PROCESS, 0);
  skeleton_->bss->bh_g_probe_tid = static_cast<uint32_t>(gettid());
  const int result = setpriority(PRIO_PROCESS, 0, nice);
  const int error = errno;
  skeleton_->bss->bh_g_probe_tid = 0;
  if (result == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the guard's ", HookKindName(kind_),
                     " programs are attached and not called (lsm= without bpf, or ftrace_enabled=0)"));
  }
  return error == EPERM || error == EACCES ? absl::OkStatus() : ErrnoToStatus(error, "renice the probing thread");
}

absl::StatusOr<GuardSwitch> KernelTamperGuard::Read() const {
  ASSIGN_OR_RETURN(const bh_guard guard, ReadGuard(bpf_map__fd(skeleton_->maps.bh_guard)));
  return SwitchOf(guard);
}

absl::Status KernelTamperGuard::Control(bh_guard_request request, absl::string_view what) const {
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  const int error = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.bh_g_control), &options);
  if (error != 0) return bulkhead::ErrnoToStatus(error, what);
  if (options.retval != 0) return absl::FailedPreconditionError(absl::StrCat("cannot ", what));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Counter>> KernelTamperGuard::Counters() const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return ErrnoToStatus(cpus, "count the CPUs");
  std::vector<uint64_t> values(cpus);
  std::vector<Counter> counters;
  for (uint32_t index = 0; index < BH_GUARD_COUNTERS; ++index) {
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.bh_g_count), &index, values.data()) != 0) {
      return ErrnoToStatus(errno, absl::StrCat("read the counter ", kCounterNames[index]));
    }
    counters.push_back({kCounterNames[index], std::accumulate(values.begin(), values.end(), uint64_t{0})});
  }
  return counters;
}

Mechanism KernelTamperGuard::mechanism() const {
  return {absl::StrCat("tamper_guard/", HookKindName(kind_)), true, ""};
}

absl::Status CheckGuardIsDown(const std::string& pin_directory) {
  // Who may not even look is not the one that the guard is there for.
  if (access(GuardPin(pin_directory).c_str(), F_OK) != 0) return absl::OkStatus();
  const UniqueFd map(bpf_obj_get(GuardPin(pin_directory).c_str()));
  if (!map.valid() && (errno == EPERM || errno == EACCES)) return absl::FailedPreconditionError(kGuardIsUp);
  if (!map.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", GuardPin(pin_directory)));
  ASSIGN_OR_RETURN(const bh_guard guard, ReadGuard(map.get()));
  return SwitchOf(guard).up() ? absl::FailedPreconditionError(kGuardIsUp) : absl::OkStatus();
}

// By id, not by path. A process that a guard does not trust cannot open its maps, and passes.
absl::Status CheckGuardIsOurs(const std::string& pin_directory) {
  const UniqueFd pinned(bpf_obj_get(GuardPin(pin_directory).c_str()));
  const uint32_t ours = pinned.valid() ? MapInfo(pinned.get()).id : 0;
  uint32_t id = 0;
  while (bpf_map_get_next_id(id, &id) == 0) {
    const UniqueFd map(bpf_map_get_fd_by_id(id));
    if (!map.valid() || id == ours) continue;
    const bpf_map_info info = MapInfo(map.get());
    if (std::strcmp(info.name, kGuardMap) != 0 || info.value_size != sizeof(bh_guard)) continue;
    ASSIGN_OR_RETURN(const bh_guard guard, ReadGuard(map.get()));
    if (SwitchOf(guard).up()) {
      return absl::FailedPreconditionError(
          absl::StrCat("a tamper guard is up that takes this process for its sensor, and its pins are not in ",
                       pin_directory, ": somebody changed the options or the mounts of the sensor's unit. Undo that"));
    }
  }
  if (errno == ENOENT) return absl::OkStatus();
  return ErrnoToStatus(errno, "look for a tamper guard (are you root?)");
}

absl::Status RemoveTamperGuard(const std::string& pin_directory) {
  RETURN_IF_ERROR(CheckGuardIsDown(pin_directory));
  const UniqueFd map(bpf_obj_get(GuardPin(pin_directory).c_str()));
  if (!map.valid() && errno == ENOENT) return absl::OkStatus();
  // Off before its pins go: their programs live on for a moment, and the time for which it is lowered may end.
  const uint32_t zero = 0;
  const bh_guard off{};
  if (!map.valid() || bpf_map_update_elem(map.get(), &zero, &off, BPF_ANY) != 0) {
    return ErrnoToStatus(errno, "switch the tamper guard off");
  }
  return RemoveGuardPins(pin_directory);
}

}  // namespace bulkhead::sensor
