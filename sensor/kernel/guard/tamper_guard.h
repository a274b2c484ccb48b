// The tamper guard on this kernel: guard.bpf.c, loaded, told what to protect, and switched. Host-wide only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sensor/domain/observed_state.h"
#include "sensor/domain/tamper_guard.h"
#include "sensor/kernel/frames/security_hooks.h"

struct guard_bpf;
struct bh_guard_request;

namespace bulkhead::sensor {

struct TamperGuardOptions {
  // Where the guard's own pins are; whatever else is pinned there or below is guarded too.
  std::string pin_directory;

  // The datapath's pins: its published rule set says whether a wall is up, and then more is refused. Empty: they are in
  // `pin_directory`. Apart, because a sensor of another layout has other ones, and takes over the guard as it is.
  std::string rule_set_directory;

  // Files that stay as they are, such as the configuration and the unit file. One that is not there is skipped.
  std::vector<std::string> files;

  // Directories of the sensor's own, such as its state and its pins: only it changes what is in them and below.
  std::vector<std::string> trees;

  // What this sensor was told to do, as any text: DescribeDirectory of its state. The program alone does not make the
  // sensor: with another state it would obey somebody else.
  std::string told;
};

// The programs and what they protect outlive the process. The process must be in a cgroup v2 other than the root (see
// EnterSensorCgroup).
class KernelTamperGuard : public TamperGuard {
 public:
  static constexpr char kPinPrefix[] = "guard_";

  // Loads the programs, attaches them in place of those of an earlier sensor, and proves by their effect that the
  // kernel calls them. A guard that was up stays up. FailedPrecondition: neither BPF LSM nor fmod_ret works here.
  // PermissionDenied: a guard is up and does not know this process, because its program, libraries, cgroup or options
  // are not those of the sensor that enabled it; lower it first (an order or the offline code, given to that sensor),
  // or reboot.
  static absl::StatusOr<std::unique_ptr<KernelTamperGuard>> Open(const TamperGuardOptions& options);

  absl::Status Enable() override;
  absl::Status Lower(absl::Duration duration) override;
  absl::StatusOr<std::vector<std::string>> Maintain() override;
  absl::StatusOr<std::string> GoHome() override;
  absl::Status Prove() const override;
  absl::StatusOr<GuardSwitch> Read() const override;
  absl::StatusOr<std::vector<Counter>> Counters() const override;
  Mechanism mechanism() const override;

  // Switches the guard off for good and removes its pins; the programs go with this object.
  absl::Status Disable();

  ~KernelTamperGuard() override;
  KernelTamperGuard(const KernelTamperGuard&) = delete;
  KernelTamperGuard& operator=(const KernelTamperGuard&) = delete;

 private:
  struct Unload {
    void operator()(guard_bpf* skeleton) const;
  };
  using Skeleton = std::unique_ptr<guard_bpf, Unload>;

  KernelTamperGuard(TamperGuardOptions options, Skeleton skeleton, HookKind kind);
  static absl::StatusOr<std::unique_ptr<KernelTamperGuard>> OpenAs(HookKind kind, const TamperGuardOptions& options);
  absl::Status Control(bh_guard_request request, absl::string_view what) const;
  absl::Status Protect(const std::string& path, uint32_t flags) const;
  absl::Status ProtectTrees() const;
  absl::StatusOr<std::string> AttachLost();
  absl::Status Adopt() const;

  TamperGuardOptions options_;
  Skeleton skeleton_;
  HookKind kind_;
  std::vector<AttachedProgram> programs_;
  std::string cgroup_;
};

// Takes away what an earlier sensor's guard left in `pin_directory`. OK when there was nothing. FailedPrecondition: the
// guard is up, and only lowering it helps.
absl::Status RemoveTamperGuard(const std::string& pin_directory);

// OK when there is no guard, or it is lowered. FailedPrecondition: it is up; the message says what to do.
absl::Status CheckGuardIsDown(const std::string& pin_directory);

// For every process that may change something: the kernel takes it for the sensor when it runs the right program in the
// right cgroup, and whoever starts it chooses what it finds below its paths. OK when no guard that is up and trusts
// this process is pinned elsewhere than in `pin_directory` (empty: anywhere). FailedPrecondition: there is one.
// PermissionDenied: only who has CAP_SYS_ADMIN can tell.
absl::Status CheckGuardIsOurs(const std::string& pin_directory);

}  // namespace bulkhead::sensor
