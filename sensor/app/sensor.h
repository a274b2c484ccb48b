// The sensor: its parts, in the order in which they need each other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/unique_fd.h"
#include "sensor/app/guard_console.h"
#include "sensor/app/loop.h"
#include "sensor/app/options.h"
#include "sensor/kernel/kernel.h"
#include "sensor/link/grpc_prover.h"

namespace bulkhead::sensor {

class Sensor {
 public:
  // Enforces what is stored before anything else, so that a failure later (no identity, a bad option) leaves the host
  // contained.
  static absl::StatusOr<std::unique_ptr<Sensor>> Create(const Options& options);

  // Until SIGTERM or SIGINT. Enforcement stays.
  absl::Status Run();

  ~Sensor();

 private:
  explicit Sensor(const Options& options);

  absl::Status OpenKernel();
  absl::Status OpenGuard();
  absl::Status ConnectTo(const std::vector<HostPort>& control_planes);
  absl::Status EnforcePolicyFile();
  std::vector<std::string> KeepGuard();
  void PublishStatus();

  const Options options_;
  RealClock clock_;
  UniqueFd signals_;
  UniqueFd state_lock_;
  DesiredStateStore desired_states_;
  AddressStore addresses_;
  CommandLogStore command_log_;
  IdentityStore identities_;
  GuardCodeStore guard_code_;
  std::vector<ResolvedHost> known_addresses_;
  std::unique_ptr<Datapath> datapath_;
  std::unique_ptr<ProcessKiller> killer_;
  std::optional<OrderAuthority> authority_;  // none: orders need no signatures
  std::optional<Enforcer> enforcer_;
  EventQueue events_;
  std::optional<GuardKeeper> guard_;
  std::unique_ptr<GuardConsole> console_;
  LoopMailbox mailbox_;
  std::optional<KillWorker> worker_;
  std::optional<CommandRunner> commands_;
  std::optional<Renewer> renewer_;
  std::unique_ptr<ControlPlaneLink> link_;
  GrpcProver prover_;
  std::optional<ProofWorker> proofs_;
  std::optional<Uplink> uplink_;
};

// Puts this process into the sensor's cgroup and opens the kernel for it; what was enforced before still is.
absl::StatusOr<std::unique_ptr<Datapath>> OpenKernelFor(const Options& options);

// OK when no tamper guard that is up takes this process for its sensor although these options are not that sensor's;
// else FailedPrecondition, and PermissionDenied to whom is not root. Ask before anything is changed.
absl::Status RequireOwnGuard(const Options& options);

// OK when no tamper guard of this host is up; FailedPrecondition, with what to do, when one is. A scope has none of its
// own. Else as RequireOwnGuard.
absl::Status RequireGuardDown(const Options& options);

// The file in the state directory that `status` shows.
std::string StatusFile(const Options& options);

}  // namespace bulkhead::sensor
