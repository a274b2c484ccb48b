// Port: keeps root from stopping, blinding or undoing the sensor of a host.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// The longest that a guard can be lowered.
inline constexpr absl::Duration kLongestGuardDown = absl::Hours(1);

// Orders to the guard; see bulkhead.v1.Command.
struct LowerGuard {
  absl::Duration duration;  // 1 s .. kLongestGuardDown
};
struct SetGuardCode {
  std::string hash;  // as GuardCodeHash makes it, 32 raw bytes
};
using GuardOrder = std::variant<LowerGuard, SetGuardCode>;

// Read back from the kernel.
struct GuardSwitch {
  bool enabled = false;
  absl::Duration lowered_for = absl::ZeroDuration();  // how long it stays down from now; zero: it is not lowered

  bool up() const { return enabled && lowered_for == absl::ZeroDuration(); }
};

// The sensor is the process that called Enable, or later the one of the same program file that starts in the same
// cgroup after it ended. The guard outlives the process. Not thread safe: used by the loop thread only.
class TamperGuard {
 public:
  virtual ~TamperGuard() = default;

  // Turns the guard on for this process: its program, its libraries as they are mapped now, its cgroup, its files as
  // they are now. Load everything that the process will ever load as code before. A guard that is lowered stays so for
  // the rest of its time. On error the guard is as it was.
  virtual absl::Status Enable() = 0;

  // Switches the guard off for a while, for a stop, an upgrade or an uninstallation; it comes back by itself. Zero ends
  // it at once.
  virtual absl::Status Lower(absl::Duration duration) = 0;

  // Takes files and kernel objects under protection that were made since Enable, and undoes what was done to the
  // process from outside. Call it now and then. Says what it repaired.
  virtual absl::StatusOr<std::vector<std::string>> Maintain() = 0;

  // Puts the process back into its cgroup, by which the wall knows its sockets. Says so when somebody had moved it.
  virtual absl::StatusOr<std::string> GoHome() = 0;

  // OK when the kernel calls the programs right now; FailedPrecondition when they have gone silent.
  virtual absl::Status Prove() const = 0;

  virtual absl::StatusOr<GuardSwitch> Read() const = 0;

  // What was refused since the guard was first loaded, by kind.
  virtual absl::StatusOr<std::vector<Counter>> Counters() const = 0;

  // What carries it.
  virtual Mechanism mechanism() const = 0;
};

}  // namespace bulkhead::sensor
