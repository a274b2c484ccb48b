// The kernel adapter's front door: what sensor/app needs to build the enforcement of a host.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/datapath.h"
#include "sensor/domain/process_killer.h"

namespace bulkhead::sensor {

// Where enforcement applies and where it is kept.
struct DatapathOptions {
  // Absolute path of a cgroup v2 directory, such as "/sys/fs/cgroup/system.slice/web.service". Empty: the whole host
  // (the root of the cgroup v2 hierarchy).
  std::string scope;

  // A bpf file system. Mounted there when nothing is.
  std::string bpffs = "/sys/fs/bpf";

  // Name of the pin directory below `<bpffs>/bulkhead/`: [A-Za-z0-9_-]. Empty: derived from the scope, so that two
  // sensors with different scopes do not meet and a restarted sensor finds what it left.
  std::string pin_key;

  // Cgroup that the sensor's own sockets belong to, as EnterSensorCgroup returns it. Empty: no socket is the sensor's,
  // and the control plane is reachable only where the wall allows it anyway (a scope that does not hold the sensor).
  std::string sensor_cgroup;

  // Kill the processes with a socket that works past a wall (AF_XDP, rings of packet sockets); else only name them.
  bool kill_ring_holders = true;
};

// Puts the calling process into a cgroup of its own and returns its path. A process that already is in a cgroup other
// than the root (systemd's service cgroup) stays there; else `<cgroup2>/bulkhead-sensor` is made. Sockets carry the
// cgroup in which they were created: call this before the first one. Fails when no cgroup v2 hierarchy is mounted.
absl::StatusOr<std::string> EnterSensorCgroup();

// Probes this kernel, loads or adopts the programs, and returns the enforcement of `options.scope`. What pinned
// programs enforced before still is enforced, without a gap, until the first Apply. Takes up to about 2 s, most of it
// probing. NotFound: the scope is not a cgroup v2 directory. PermissionDenied: not root. FailedPrecondition: another
// live sensor holds this scope, or the kernel lacks what every tier needs; the message says what.
absl::StatusOr<std::unique_ptr<Datapath>> OpenDatapath(const DatapathOptions& options);

// Where a sensor without a scope keeps its pins, and the directory below it with the published rule set.
std::string HostPinDirectory(const std::string& bpffs);
std::string HostRuleSetDirectory(const std::string& bpffs);

// Lifts everything that any sensor enforced for `options.scope` and removes its pins. OK when there was nothing.
absl::Status RemoveDatapath(const DatapathOptions& options);

// Removes what an OpenDatapath left that was followed by no Apply. What is enforced stays.
absl::Status RemoveIdleDatapath(const DatapathOptions& options);

// Kills processes inside `scope` (as in DatapathOptions) only.
absl::StatusOr<std::unique_ptr<ProcessKiller>> MakeProcessKiller(const std::string& scope);

}  // namespace bulkhead::sensor
