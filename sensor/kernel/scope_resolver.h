// Which cgroup a policy's scope is now.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sensor/domain/policy_scope.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// One look at the tree of cgroups: it is listed once, when the first unit or container is asked for. Make another for a
// new look. Not thread safe.
class ScopeResolver {
 public:
  // `own`: what the sensor was started for; nothing outside it is resolved.
  explicit ScopeResolver(Scope own);

  // The cgroup of `scope`; nullopt: there is none now. InvalidArgument: the name is malformed. FailedPrecondition: it
  // is outside `own`, or ambiguous; the message names what was found.
  //
  // A unit is the cgroup of its name. One of the system's manager (below slices only) goes before those of users' and
  // containers' managers, among which it has to be the only one. Of a container's cgroups that lie in each other it is
  // the outermost.
  absl::StatusOr<std::optional<Scope>> Resolve(const PolicyScope& scope);

 private:
  const std::vector<std::string>& Tree();
  std::vector<std::string> UnitsNamed(const std::string& name);
  std::vector<std::string> ContainersWith(const std::string& prefix);
  absl::StatusOr<std::optional<Scope>> Describe(const std::string& relative) const;

  Scope own_;
  std::string root_;                              // directory of the hierarchy's root
  std::optional<std::vector<std::string>> tree_;  // every cgroup but the root, as in /proc/PID/cgroup, parents first
};

// The container that a cgroup of this name ("docker-0123….scope") holds: 64 hex digits, the way Docker, containerd,
// CRI-O and Podman name them, with the systemd driver or without. Empty: none, or the monitor beside a container.
std::string ContainerIdOf(absl::string_view cgroup_name);

}  // namespace bulkhead::sensor
