// Active probes: does the wall that was put up stop a process of the scope?
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sensor/domain/desired_state.h"
#include "sensor/domain/forbidden_target.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {

// Which probes a wall needs, chosen when it goes up.
struct WallProbePlan {
  bool first_line = false;                 // connect(2) must be refused
  bool by_udp = false;                     // the policy kills who connects by TCP, so the probe connects by UDP
  std::optional<ForbiddenTarget> connect;  // none: the rules allow all that may be tried
  std::optional<ForbiddenTarget> packet;
  bool empty() const { return !first_line && !packet.has_value(); }
};

// For every wall of `state`, of whatever scope: what it knocks at is forbidden by each of them. `has_connect`: the
// first line is attached on this host.
WallProbePlan PlanWallProbes(const DesiredState& state, bool has_connect);

// The same from inside the scope of a policy, whose path begins each detail. A probe that could not be run there (the
// scope is frozen, is full, or ended meanwhile) is not required: it says nothing about the wall.
std::vector<ActiveProbe> RunScopedProbes(const WallProbePlan& plan, const Scope& scope);

// Runs the plan from a child process in a cgroup of its own below `scope_path`. The packet has a hop limit of 1: if the
// wall is not there, it ends at the first router.
std::vector<ActiveProbe> RunWallProbes(const WallProbePlan& plan, const std::string& scope_path);

}  // namespace bulkhead::sensor
