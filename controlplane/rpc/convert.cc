// Field by field; enum numbers are the same on both sides, which convert_test checks name by name.
#include "controlplane/rpc/convert.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/block_list.h"
#include "controlplane/domain/command_state.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

// 0001-01-01 and 9999-12-31, the limits of google.protobuf.Timestamp.
constexpr int64_t kFirstSecond = -62135596800;
constexpr int64_t kLastSecond = 253402300799;
constexpr int kMostProcessesListed = 256;

// A tier that this version does not know promises nothing.
Tier TierOf(v1::Tier tier) {
  return v1::Tier_IsValid(tier) ? static_cast<Tier>(tier) : Tier::kUnknown;
}

// The outcomes of orders to the guard have numbers of their own.
v1::GuardOutcome GuardOutcomeOf(CommandOutcome outcome) {
  switch (outcome) {
    case CommandOutcome::kDone:
      return v1::GUARD_OUTCOME_DONE;
    case CommandOutcome::kRefused:
      return v1::GUARD_OUTCOME_REFUSED;
    case CommandOutcome::kFailed:
      return v1::GUARD_OUTCOME_FAILED;
    default:
      return v1::GUARD_OUTCOME_UNKNOWN;
  }
}

absl::StatusOr<CommandOutcome> OutcomeOf(v1::GuardOutcome outcome) {
  switch (outcome) {
    case v1::GUARD_OUTCOME_DONE:
      return CommandOutcome::kDone;
    case v1::GUARD_OUTCOME_REFUSED:
      return CommandOutcome::kRefused;
    case v1::GUARD_OUTCOME_FAILED:
      return CommandOutcome::kFailed;
    case v1::GUARD_OUTCOME_UNKNOWN:
      return CommandOutcome::kUnknown;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("guard_result.outcome: ", static_cast<int>(outcome), " says nothing about the guard"));
  }
}

v1::Scope ScopeToProto(const Scope& scope) {
  v1::Scope proto;
  if (scope.kind == ScopeKind::kCgroup) proto.set_cgroup(scope.name);
  if (scope.kind == ScopeKind::kSystemdUnit) proto.set_systemd_unit(scope.name);
  if (scope.kind == ScopeKind::kContainer) proto.set_container(scope.name);
  return proto;
}

absl::Status CheckKillOutcome(absl::string_view field, v1::KillOutcome outcome) {
  if (outcome != v1::KILL_OUTCOME_UNSPECIFIED && v1::KillOutcome_IsValid(outcome)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ".outcome: ", static_cast<int>(outcome), " says nothing about the process"));
}

void ProcessToProto(const ProcessIdentity& process, v1::ProcessIdentity* proto) {
  proto->set_pid(process.pid);
  proto->set_start_time_ticks(process.start_time_ticks);
  proto->set_boot_id(process.boot_id);
  proto->set_executable(process.executable);
  *proto->mutable_not_started_after() = ToProto(process.not_started_after);
}

void GroupToProto(const Command& command, v1::KillGroup* proto) {
  if (command.kind == CommandKind::kKillTree) return ProcessToProto(command.process, proto->mutable_tree());
  if (command.kind == CommandKind::kKillScope) {
    *proto->mutable_scope() = ScopeToProto(command.scope);
    return;
  }
  proto->mutable_file()->set_path(command.file.path);
  proto->mutable_file()->set_sha256(command.file.sha256);
}

void OrderToProto(const Command& command, v1::Command* proto) {
  if (command.kind == CommandKind::kLowerGuard) {
    proto->mutable_lower_guard()->mutable_duration()->set_seconds(absl::ToInt64Seconds(command.guard_down));
    return;
  }
  if (command.kind == CommandKind::kSetGuardCode) {
    proto->mutable_set_guard_code()->set_sha256(command.guard_code_hash);
    return;
  }
  if (IsGroupKill(command.kind)) return GroupToProto(command, proto->mutable_kill_group());
  ProcessToProto(command.process, proto->mutable_kill_process());
}

// The evidence was serialized by this program; what does not parse is shown without it.
void GroupResultToProto(const CommandResult& result, v1::KillGroupResult* proto) {
  if (!proto->ParseFromString(result.evidence)) proto->Clear();
  proto->set_outcome(static_cast<v1::KillOutcome>(result.outcome));
  proto->set_message(result.message);
}

void ResultToProto(const Command& command, v1::Command* proto) {
  if (IsGroupKill(command.kind)) return GroupResultToProto(*command.result, proto->mutable_kill_group_result());
  if (!IsKill(command.kind)) {
    proto->mutable_guard_result()->set_outcome(GuardOutcomeOf(command.result->outcome));
    proto->mutable_guard_result()->set_message(command.result->message);
    return;
  }
  v1::KillResult& result = *proto->mutable_kill_result();
  result.set_outcome(static_cast<v1::KillOutcome>(command.result->outcome));
  result.set_found(command.result->found);
  result.set_message(command.result->message);
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>((time - absl::FromUnixSeconds(seconds)) / absl::Nanoseconds(1)));
  return timestamp;
}

absl::Time FromProto(const google::protobuf::Timestamp& timestamp) {
  const int64_t seconds = std::clamp<int64_t>(timestamp.seconds(), kFirstSecond, kLastSecond);
  const int32_t nanos = std::clamp<int32_t>(timestamp.nanos(), 0, 999999999);
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

absl::StatusOr<Scope> FromProto(const v1::Scope& scope, absl::string_view field) {
  switch (scope.target_case()) {
    case v1::Scope::kCgroup:
      return Scope{ScopeKind::kCgroup, scope.cgroup()};
    case v1::Scope::kSystemdUnit:
      return Scope{ScopeKind::kSystemdUnit, scope.systemd_unit()};
    case v1::Scope::kContainer:
      return Scope{ScopeKind::kContainer, scope.container()};
    case v1::Scope::TARGET_NOT_SET:
      break;
  }
  return InvalidField(field, "must name a cgroup, a systemd_unit or a container; leave scope unset for the whole host");
}

namespace {

void BlockListToProto(const BlockList& list, v1::BlockList* proto) {
  proto->set_name(list.name);
  proto->set_size(list.size);
  proto->set_sha256(list.sha256);
  ReadBlockList(list.text, [proto](absl::string_view path, std::string sha256) {
    v1::BlockedBinary& binary = *proto->add_binaries();
    binary.set_path(std::string(path));
    binary.set_sha256(std::move(sha256));
  });
}

}  // namespace

v1::EnforcementPolicy ToProto(const Policy& policy) {
  v1::EnforcementPolicy proto;
  proto.set_id(policy.id);
  proto.set_name(policy.name);
  proto.set_sensor_id(policy.sensor_id);
  proto.set_template_(static_cast<v1::PolicyTemplate>(policy.policy_template));
  proto.set_action(static_cast<v1::PolicyAction>(policy.action));
  if (policy.policy_template == PolicyTemplate::kBlockBinary) {
    proto.mutable_block_binary()->set_path(policy.binary_path);
    proto.mutable_block_binary()->set_sha256(policy.binary_sha256);
    proto.mutable_block_binary()->set_kill_running(policy.kill_running);
    proto.mutable_block_binary()->set_forced(policy.forced);
    if (!policy.block_list.name.empty())
      BlockListToProto(policy.block_list, proto.mutable_block_binary()->mutable_list());
  }
  if (policy.policy_template == PolicyTemplate::kAllowList) {
    v1::AllowList& list = *proto.mutable_allow_list();
    list.set_learn(policy.allow_list.learn);
    list.set_kill_running(policy.kill_running);
    for (const AllowedBinary& binary : policy.allow_list.binaries) {
      v1::AllowedBinary& added = *list.add_binaries();
      added.set_path(binary.path);
      added.set_sha256(binary.sha256);
    }
  }
  *proto.mutable_created_at() = ToProto(policy.created_at);
  proto.set_created_by(policy.created_by);
  proto.set_etag(policy.etag);
  if (policy.expires_at) {
    *proto.mutable_expires_at() = ToProto(*policy.expires_at);
    proto.set_on_expiry(static_cast<v1::OnExpiry>(policy.on_expiry));
  }
  if (policy.scope) *proto.mutable_scope() = ScopeToProto(*policy.scope);
  if (policy.policy_template != PolicyTemplate::kBlockBinary && policy.policy_template != PolicyTemplate::kAllowList)
    proto.set_on_unreachable(static_cast<v1::OnUnreachable>(policy.on_unreachable));
  if (!policy.signed_order.empty()) proto.mutable_signed_order()->ParseFromString(policy.signed_order);
  return proto;
}

v1::IsolationRule ToProto(const IsolationRule& rule) {
  v1::IsolationRule proto;
  proto.set_id(rule.id);
  if (!rule.remote.is_any()) proto.set_address(rule.remote.ToString());
  if (rule.first_port != 0) {
    proto.mutable_ports()->set_first(rule.first_port);
    proto.mutable_ports()->set_last(rule.last_port);
  }
  proto.set_protocol(rule.protocol);
  proto.set_direction(static_cast<v1::Direction>(rule.direction));
  proto.set_description(rule.description);
  *proto.mutable_created_at() = ToProto(rule.created_at);
  proto.set_created_by(rule.created_by);
  return proto;
}

v1::Command ToProto(const Command& command) {
  v1::Command proto;
  proto.set_id(command.id);
  proto.set_sensor_id(command.sensor_id);
  OrderToProto(command, &proto);
  *proto.mutable_created_at() = ToProto(command.created_at);
  *proto.mutable_not_after() = ToProto(command.not_after);
  proto.set_state(static_cast<v1::CommandState>(command.state));
  if (command.result) ResultToProto(command, &proto);
  proto.set_created_by(command.created_by);
  if (command.finished_at) *proto.mutable_finished_at() = ToProto(*command.finished_at);
  if (!command.signed_order.empty()) proto.mutable_signed_order()->ParseFromString(command.signed_order);
  return proto;
}

v1::DesiredState ToProto(const DesiredState& state) {
  v1::DesiredState proto;
  proto.set_sensor_id(state.sensor_id);
  proto.set_generation(state.generation);
  proto.set_digest(state.digest);
  for (const Policy& policy : state.policies) {
    *proto.add_enforcement_policies() = ToProto(policy);
    if (policy.scope) continue;
    if (policy.policy_template == PolicyTemplate::kNetworkContainment) proto.set_contained(true);
    if (policy.policy_template == PolicyTemplate::kNetworkIsolation) proto.set_isolated(true);
  }
  for (const IsolationRule& rule : state.isolation_rules) *proto.add_isolation_rules() = ToProto(rule);
  for (const std::string& release : state.signed_releases) proto.add_signed_releases()->ParseFromString(release);
  return proto;
}

absl::StatusOr<CommandResult> FromProto(const v1::GuardResult& result) {
  ASSIGN_OR_RETURN(const CommandOutcome outcome, OutcomeOf(result.outcome()));
  return CommandResult{.outcome = outcome, .found = "", .message = result.message()};
}

absl::StatusOr<CommandResult> FromProto(const v1::KillResult& kill) {
  RETURN_IF_ERROR(CheckKillOutcome("kill_result", kill.outcome()));
  return CommandResult{
      .outcome = static_cast<CommandOutcome>(kill.outcome()), .found = kill.found(), .message = kill.message()};
}

absl::StatusOr<CommandResult> FromProto(const v1::KillGroupResult& group) {
  RETURN_IF_ERROR(CheckKillOutcome("kill_group_result", group.outcome()));
  if (group.processes_size() > kMostProcessesListed) {
    return absl::InvalidArgumentError(absl::StrCat("kill_group_result.processes: ", group.processes_size(),
                                                   " entries; at most ", kMostProcessesListed, " are allowed"));
  }
  return CommandResult{.outcome = static_cast<CommandOutcome>(group.outcome()),
                       .found = "",
                       .message = group.message(),
                       .evidence = group.SerializeAsString()};
}

SensorReport ReportOf(const v1::ObservedState& observed, const v1::HostInfo& host,
                      const v1::Capabilities& capabilities) {
  SensorReport report;
  report.host_info = host.SerializeAsString();
  report.capabilities = capabilities.SerializeAsString();
  report.observed = observed.SerializeAsString();
  report.boot_id = host.boot_id();
  report.observed_generation = observed.receipt().generation();
  report.observed_digest = observed.receipt().digest();
  report.degraded.assign(observed.degraded().begin(), observed.degraded().end());
  report.critical.assign(observed.critical().begin(), observed.critical().end());
  const bool scoped = std::any_of(observed.policies().begin(), observed.policies().end(),
                                  [](const v1::ObservedPolicy& policy) { return !policy.scope_cgroup().empty(); });
  const bool walled = observed.contained() || observed.isolated() || scoped;
  report.receipt_complete = !walled || observed.receipt().complete();
  for (const v1::ProbeResult& probe : observed.receipt().probes()) {
    if (!walled || probe.passed() || !probe.required() || !report.failed_probe.empty()) continue;
    report.failed_probe = absl::StrCat("the probe ", probe.name(), " failed: ", probe.detail());
  }
  for (const v1::ObservedPolicy& policy : observed.policies()) {
    if (policy.refused().empty() || !report.refused_policy.empty()) continue;
    report.refused_policy = absl::StrCat("the sensor refused policy ", policy.policy_id(), ": ", policy.refused());
  }
  report.containment_tier = TierOf(capabilities.containment_tier());
  report.isolation_tier = TierOf(capabilities.isolation_tier());
  report.block_binary_tier = TierOf(capabilities.block_binary_tier());
  report.allow_list_tier = TierOf(capabilities.allow_list_tier());
  return report;
}

}  // namespace bulkhead::controlplane
