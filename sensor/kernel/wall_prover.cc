// Active probes.
#include "sensor/kernel/wall_prover.h"

#include <errno.h>
#include <string.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/kernel/probe_cgroup.h"
#include "sensor/kernel/probe_child.h"

namespace bulkhead::sensor {
namespace {

constexpr uint8_t kIcmp = 1;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

constexpr char kNotTried[] = "not tried: ";

// A child that entered a frozen cgroup would not move.
bool IsFrozen(const std::string& cgroup) {
  const absl::StatusOr<std::string> events = ReadFile(cgroup + "/cgroup.events");
  return events.ok() && absl::StrContains(*events, "frozen 1");
}

absl::StatusOr<ProbeEffect> Try(ProbeAction action, const ForbiddenTarget& target, const std::string& scope_path) {
  ASSIGN_OR_RETURN(const ProbeCgroup cgroup, ProbeCgroup::Make(scope_path));
  ASSIGN_OR_RETURN(ProbeChild child, ProbeChild::Start(action, cgroup.path(), target));
  return child.Finish();
}

std::string Outcome(const ProbeEffect& effect) {
  if (effect.killed) return "the process was killed";
  return effect.error == 0 ? "it went through" : strerror(effect.error);
}

ActiveProbe Describe(ActiveProbe probe, const std::string& what, const absl::StatusOr<ProbeEffect>& effect) {
  if (effect.ok()) {
    probe.passed = effect->error == EPERM;
    probe.detail = absl::StrCat(what, ": ", Outcome(*effect));
  } else {
    probe.detail = absl::StrCat(what, ": ", kNotTried, effect.status().message());
  }
  return probe;
}

ActiveProbe TryConnect(const WallProbePlan& plan, const std::string& scope_path) {
  const ProbeAction action = plan.by_udp ? ProbeAction::kConnectForbiddenUdp : ProbeAction::kConnectForbiddenTcp;
  const std::string what = absl::StrCat(plan.by_udp ? "UDP" : "TCP", " connect to ", plan.connect->address.ToString(),
                                        " port ", plan.connect->port);
  return Describe({"connect_refused", false, "", true}, what, Try(action, *plan.connect, scope_path));
}

ActiveProbe TryPacket(const WallProbePlan& plan, const std::string& scope_path) {
  const absl::StatusOr<ProbeEffect> effect = Try(ProbeAction::kSendForbiddenIcmp, *plan.packet, scope_path);
  ActiveProbe probe{"wall_drops", false, "", true};
  // Without a route nothing gets as far as the wall: neither proof nor a hole.
  if (effect.ok() && (effect->error == ENETUNREACH || effect->error == EHOSTUNREACH)) probe.required = false;
  return Describe(std::move(probe), absl::StrCat("ICMP to ", plan.packet->address.ToString()), effect);
}

}  // namespace

WallProbePlan PlanWallProbes(const DesiredState& state, bool has_connect) {
  WallProbePlan plan;
  if (!state.has_wall()) return plan;
  const auto any = [&state](PolicyTemplate wanted, auto has) {
    return std::any_of(state.policies.begin(), state.policies.end(),
                       [&](const Policy& policy) { return policy.policy_template == wanted && has(policy.action); });
  };
  const bool isolated =
      any(PolicyTemplate::kNetworkIsolation, [](PolicyAction action) { return action != PolicyAction::kNotify; });
  const std::vector<IsolationRule> none;
  const std::vector<IsolationRule>& rules = isolated ? state.isolation_rules : none;
  plan.by_udp =
      any(PolicyTemplate::kNetworkContainment, [](PolicyAction action) { return action == PolicyAction::kSigkill; });
  plan.connect = ChooseForbiddenTarget(rules, plan.by_udp ? kUdp : kTcp);
  plan.first_line = has_connect && plan.connect.has_value();
  plan.packet = ChooseForbiddenTarget(rules, kIcmp);
  return plan;
}

std::vector<ActiveProbe> RunWallProbes(const WallProbePlan& plan, const std::string& scope_path) {
  std::vector<ActiveProbe> probes;
  if (plan.first_line) probes.push_back(TryConnect(plan, scope_path));
  if (plan.packet.has_value()) probes.push_back(TryPacket(plan, scope_path));
  return probes;
}

std::vector<ActiveProbe> RunScopedProbes(const WallProbePlan& plan, const Scope& scope) {
  const std::string where = absl::StrCat("in ", scope.relative, ": ");
  if (IsFrozen(scope.path)) return {{"wall_drops", false, absl::StrCat(where, kNotTried, "it is frozen"), false}};
  std::vector<ActiveProbe> probes = RunWallProbes(plan, scope.path);
  for (ActiveProbe& probe : probes) {
    if (absl::StrContains(probe.detail, kNotTried)) probe.required = false;
    probe.detail = absl::StrCat(where, probe.detail);
  }
  return probes;
}

}  // namespace bulkhead::sensor
