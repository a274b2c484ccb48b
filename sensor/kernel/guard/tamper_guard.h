// Keeps root from stopping, blinding or undoing the sensor of a host. Host-wide only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/frames/security_hooks.h"

struct guard_bpf;
struct bh_guard_request;

namespace bulkhead::sensor {

struct TamperGuardOptions {
  // The datapath's pin directory: its published rule set says whether a wall is up, and then more is refused.
  std::string pin_directory;

  // Files that stay as they are, such as the configuration and the unit file. One that is not there is skipped.
  std::vector<std::string> files;

  // Directories of the sensor's own, such as its state and its pins: only it changes what is in them and below.
  std::vector<std::string> trees;
};

// The sensor is the process that called Enable, or later the one of the same program file that starts in the same
// cgroup after it ended. The programs and what they protect outlive the process. Not thread safe; the process must be
// in a cgroup v2 other than the root (see EnterSensorCgroup).
class TamperGuard {
 public:
  static constexpr char kPinPrefix[] = "guard_";

  // Loads the programs, attaches them in place of those of an earlier sensor, and proves by their effect that the
  // kernel calls them. A guard that was up stays up. FailedPrecondition: neither BPF LSM nor fmod_ret works here.
  // PermissionDenied: a guard is up and does not know this process, because its program, libraries or cgroup are not
  // those of the sensor that enabled it; lower it first (an order or the offline code, given to that sensor), or
  // reboot.
  static absl::StatusOr<std::unique_ptr<TamperGuard>> Open(const TamperGuardOptions& options);

  // Turns the guard on for this process: its program, its libraries as they are mapped now, its cgroup. Load everything
  // that the process will ever load as code before. On error the guard is as it was. Call again after an upgrade while
  // lowered.
  absl::Status Enable();

  // Switches the guard off for a while, for a stop, an upgrade or an uninstallation; it comes back by itself. Zero ends
  // it at once.
  absl::Status Lower(absl::Duration duration);

  // Switches the guard off for good and removes its pins; the programs go with this object.
  absl::Status Disable();

  // Takes BPF objects under protection that were made before Enable, and puts the process back into its cgroup when
  // somebody moved it. Call it now and then. Says what it repaired.
  absl::StatusOr<std::vector<std::string>> Maintain();

  // OK when the kernel calls the programs right now; FailedPrecondition when they have gone silent.
  absl::Status Prove() const;

  // Is it on, and not lowered?
  absl::StatusOr<bool> IsUp() const;

  ~TamperGuard();
  TamperGuard(const TamperGuard&) = delete;
  TamperGuard& operator=(const TamperGuard&) = delete;

  HookKind kind() const { return kind_; }
  const std::vector<AttachedProgram>& programs() const { return programs_; }

  // What was refused since the guard was first loaded, by kind.
  absl::StatusOr<std::vector<Counter>> Counters() const;

 private:
  struct Unload {
    void operator()(guard_bpf* skeleton) const;
  };
  using Skeleton = std::unique_ptr<guard_bpf, Unload>;

  TamperGuard(TamperGuardOptions options, Skeleton skeleton, HookKind kind);
  static absl::StatusOr<std::unique_ptr<TamperGuard>> OpenAs(HookKind kind, const TamperGuardOptions& options);
  absl::Status Control(bh_guard_request request, absl::string_view what) const;
  absl::Status Protect(const std::string& path, uint32_t flags) const;
  absl::Status Adopt() const;

  TamperGuardOptions options_;
  Skeleton skeleton_;
  HookKind kind_;
  std::string cgroup_;
  std::vector<AttachedProgram> programs_;
};

// For Capabilities: available with the kind that carries it, or not with the reason.
Mechanism DescribeTamperGuard(const absl::StatusOr<std::unique_ptr<TamperGuard>>& opened);

}  // namespace bulkhead::sensor
