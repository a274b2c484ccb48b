// Domain values to messages for the control plane.
#include "sensor/link/convert_out.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kMaxEnded = 64;

// The kernel's text (a process name, a file name) may hold any bytes, and protobuf refuses to parse a string that is
// not UTF-8: without this one process name would cut the whole host off.
std::string Utf8(absl::string_view text) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80                   ? 1
                          : lead >= 0xc2 && lead < 0xe0 ? 2
                          : lead >= 0xe0 && lead < 0xf0 ? 3
                          : lead >= 0xf0 && lead < 0xf5 ? 4
                                                        : 0;
    bool valid = length != 0 && i + length <= text.size();
    for (size_t j = 1; valid && j < length; ++j) valid = (static_cast<unsigned char>(text[i + j]) & 0xc0) == 0x80;
    if (valid && length >= 3) {
      // Overlong forms, surrogates and what lies beyond U+10FFFF.
      const auto second = static_cast<unsigned char>(text[i + 1]);
      valid = !(lead == 0xe0 && second < 0xa0) && !(lead == 0xed && second > 0x9f) &&
              !(lead == 0xf0 && second < 0x90) && !(lead == 0xf4 && second > 0x8f);
    }
    if (valid) {
      out.append(text.data() + i, length);
      i += length;
    } else {
      out += '?';
      ++i;
    }
  }
  return out;
}

google::protobuf::Timestamp TimeToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  out.set_seconds(absl::ToUnixSeconds(time));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(out.seconds()))));
  return out;
}

std::string DigestToProto(const Digest& digest) {
  if (digest == Digest{}) return "";
  return std::string(digest.begin(), digest.end());
}

void ReceiptToProto(const Receipt& in, v1::Receipt* out) {
  out->set_generation(in.generation);
  out->set_digest(DigestToProto(in.digest));
  if (in.enforced_at != absl::InfinitePast()) *out->mutable_enforced_at() = TimeToProto(in.enforced_at);
  out->set_apply_micros(static_cast<uint64_t>(absl::ToInt64Microseconds(in.apply_time)));
  out->set_sockets_destroyed(in.sockets_destroyed);
  for (size_t i = 0; i < std::min(in.ended.size(), kMaxEnded); ++i) out->add_ended(Utf8(in.ended[i]));
  out->set_complete(in.complete);
  for (const ActiveProbe& probe : in.probes) {
    v1::ProbeResult* added = out->add_probes();
    added->set_name(Utf8(probe.name));
    added->set_passed(probe.passed);
    added->set_detail(Utf8(probe.detail));
    added->set_required(probe.required);
  }
  for (const AttachedProgram& program : in.programs) {
    v1::AttachedProgram* added = out->add_programs();
    added->set_name(Utf8(program.name));
    added->set_program_id(program.program_id);
    added->set_link_id(program.link_id);
    added->set_target(Utf8(program.target));
  }
}

void PolicyToProto(const ObservedPolicy& in, v1::ObservedPolicy* out) {
  out->set_policy_id(Utf8(in.policy_id));
  for (const std::string& name : in.mechanisms) out->add_mechanisms(Utf8(name));
  out->set_hits(in.hits);
  out->set_degraded(Utf8(in.degraded));
  if (in.expires_at.has_value()) *out->mutable_expires_at() = TimeToProto(*in.expires_at);
  out->set_expired(in.expired);
  out->set_running(in.running);
  for (const uint32_t pid : in.running_pids) out->add_running_pids(pid);
  out->set_killed_running(in.killed_running);
  out->set_sha256(in.sha256);
  out->set_refused(Utf8(in.refused));
  out->set_scope_cgroup(Utf8(in.scope_cgroup));
  for (const AllowedBinary& binary : in.learned) {
    v1::AllowedBinary* added = out->add_learned();
    // A path that is no text cannot be told; its content is.
    if (Utf8(binary.path) == binary.path) added->set_path(binary.path);
    added->set_sha256(binary.sha256);
  }
  out->set_learned_truncated(in.learned_truncated);
  out->set_respawns(in.respawns);
  for (const WouldCut& cut : in.would_cut) {
    v1::WouldCut* added = out->add_would_cut();
    added->set_address(cut.remote.ToString());
    added->set_port(cut.port);
    added->set_protocol(cut.protocol);
    added->set_direction(static_cast<v1::Direction>(cut.direction));
    added->set_comm(Utf8(cut.comm));
    added->set_count(cut.count);
  }
}

void ScopeToProto(const PolicyScope& in, v1::Scope* out) {
  switch (in.kind) {
    case PolicyScope::Kind::kCgroup:
      return out->set_cgroup(in.name);
    case PolicyScope::Kind::kSystemdUnit:
      return out->set_systemd_unit(in.name);
    case PolicyScope::Kind::kContainer:
      return out->set_container(in.name);
  }
}

void BlockListToProto(const Policy& in, v1::BlockList* out) {
  out->set_name(in.block_list);
  for (const BlockedBinary& binary : in.blocked) {
    v1::BlockedBinary* added = out->add_binaries();
    added->set_path(binary.path);
    added->set_sha256(binary.sha256);
  }
}

void AllowListToProto(const Policy& in, v1::AllowList* out) {
  for (const AllowedBinary& binary : in.allowed) {
    v1::AllowedBinary* added = out->add_binaries();
    added->set_path(binary.path);
    added->set_sha256(binary.sha256);
  }
  out->set_learn(in.learn);
  out->set_kill_running(in.kill_running);
}

v1::HostInfo HostToProto(const HostFacts& in) {
  v1::HostInfo out;
  out.set_hostname(Utf8(in.hostname));
  out.set_boot_id(Utf8(in.boot_id));
  out.set_kernel_release(Utf8(in.kernel_release));
  out.set_os(Utf8(in.os));
  out.set_sensor_version(in.sensor_version);
  out.set_scope(Utf8(in.scope));
  out.set_instance_id(in.instance_id);
  return out;
}

v1::Event EventToProto(const NumberedEvent& in) {
  v1::Event out;
  out.set_sequence(in.sequence);
  *out.mutable_time() = TimeToProto(in.event.time);
  out.set_kind(static_cast<v1::EventKind>(in.event.kind));
  out.set_policy_id(Utf8(in.event.policy_id));
  out.set_pid(in.event.pid);
  out.set_comm(Utf8(in.event.comm));
  out.set_detail(Utf8(in.event.detail));
  out.set_uid(in.event.uid);
  out.set_parent_pid(in.event.parent_pid);
  out.set_parent_comm(Utf8(in.event.parent_comm));
  out.set_cgroup(Utf8(in.event.cgroup));
  out.set_container(Utf8(in.event.container));
  return out;
}

// What this sensor says of a kill it never says of the guard, and the other way round; see CommandOutcome.
v1::GuardOutcome GuardOutcomeToProto(CommandOutcome in) {
  switch (in) {
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

v1::TamperGuard GuardToProto(const ObservedGuard& in) {
  v1::TamperGuard out;
  out.set_state(static_cast<v1::GuardState>(in.state));
  if (in.state == GuardState::kLowered) *out.mutable_lowered_until() = TimeToProto(in.lowered_until);
  out.set_reason(Utf8(in.reason));
  out.set_has_code(in.has_code);
  out.set_refusals(in.refusals);
  return out;
}

void KillResultToProto(const KilledProcess& in, v1::KillResult* out) {
  out->set_pid(in.pid);
  out->set_outcome(static_cast<v1::KillOutcome>(in.outcome));
  out->set_found(Utf8(in.found));
  out->set_message(Utf8(in.message));
}

void KillGroupResultToProto(const CommandResult& in, v1::KillGroupResult* out) {
  out->set_outcome(static_cast<v1::KillOutcome>(in.outcome));
  // What was found under the pid of a tree, when that was not the one that was meant.
  out->set_message(Utf8(in.found.empty() ? in.message : absl::StrCat(in.message, "; found ", in.found)));
  if (!in.group.has_value()) return;
  out->set_killed(in.group->counts.killed);
  out->set_refused(in.group->counts.refused);
  out->set_still_there(in.group->counts.still_there);
  for (const KilledProcess& process : in.group->processes) KillResultToProto(process, out->add_processes());
}

struct Converter {
  v1::ConnectRequest operator()(const HeartbeatMessage& in) const {
    v1::ConnectRequest out;
    out.mutable_heartbeat()->set_sequence(in.sequence);
    *out.mutable_heartbeat()->mutable_observed() = ObservedStateToProto(in.observed);
    out.mutable_heartbeat()->set_events_dropped(in.events_dropped);
    out.mutable_heartbeat()->set_stored_certificate(in.stored_certificate);
    return out;
  }
  v1::ConnectRequest operator()(const PolicyStatusMessage& in) const {
    v1::ConnectRequest out;
    out.mutable_policy_status()->set_generation(in.generation);
    out.mutable_policy_status()->set_applied(in.applied);
    out.mutable_policy_status()->set_message(Utf8(in.message));
    *out.mutable_policy_status()->mutable_observed() = ObservedStateToProto(in.observed);
    return out;
  }
  v1::ConnectRequest operator()(const CommandResultMessage& in) const {
    v1::ConnectRequest out;
    out.mutable_command_result()->set_command_id(in.command_id);
    if (in.kind == CommandKind::kKillGroup) {
      KillGroupResultToProto(in.result, out.mutable_command_result()->mutable_kill_group_result());
      return out;
    }
    if (in.kind == CommandKind::kGuard) {
      v1::GuardResult* guard = out.mutable_command_result()->mutable_guard_result();
      guard->set_outcome(GuardOutcomeToProto(in.result.outcome));
      guard->set_message(Utf8(in.result.message));
      return out;
    }
    v1::KillResult* result = out.mutable_command_result()->mutable_kill_result();
    result->set_outcome(static_cast<v1::KillOutcome>(in.result.outcome));
    result->set_found(Utf8(in.result.found));
    result->set_message(Utf8(in.result.message));
    return out;
  }
  v1::ConnectRequest operator()(const EventBatchMessage& in) const {
    v1::ConnectRequest out;
    for (const NumberedEvent& event : in.events) *out.mutable_event_batch()->add_events() = EventToProto(event);
    return out;
  }
  v1::ConnectRequest operator()(const RenewCertificateMessage& in) const {
    v1::ConnectRequest out;
    out.mutable_renew_certificate()->set_certificate_request(in.csr_der);
    return out;
  }
  v1::ConnectRequest operator()(const GoodbyeMessage& in) const {
    v1::ConnectRequest out;
    out.mutable_goodbye()->set_reason(v1::GOODBYE_REASON_SHUTDOWN);
    out.mutable_goodbye()->set_message(in.message);
    return out;
  }
};

}  // namespace

v1::ConnectRequest HelloToProto(const HelloMessage& in) {
  v1::ConnectRequest out;
  *out.mutable_hello()->mutable_host() = HostToProto(in.host);
  *out.mutable_hello()->mutable_capabilities() = CapabilitiesToProto(in.capabilities);
  *out.mutable_hello()->mutable_observed() = ObservedStateToProto(in.observed);
  out.mutable_hello()->set_run_id(in.run_id);
  return out;
}

v1::ConnectRequest MessageToProto(const OutgoingMessage& in) {
  return std::visit(Converter(), in);
}

v1::ObservedState ObservedStateToProto(const ObservedState& in) {
  v1::ObservedState out;
  ReceiptToProto(in.receipt, out.mutable_receipt());
  out.set_contained(in.contained);
  out.set_isolated(in.isolated);
  for (const ObservedPolicy& policy : in.policies) PolicyToProto(policy, out.add_policies());
  for (const Counter& counter : in.counters) {
    v1::Counter* added = out.add_counters();
    added->set_name(Utf8(counter.name));
    added->set_value(counter.value);
  }
  for (const std::string& text : in.degraded) out.add_degraded(Utf8(text));
  for (const std::string& text : in.critical) out.add_critical(Utf8(text));
  out.set_drift_repairs(in.drift_repairs);
  *out.mutable_tamper_guard() = GuardToProto(in.guard);
  return out;
}

v1::Capabilities CapabilitiesToProto(const Capabilities& in) {
  v1::Capabilities out;
  out.set_containment_tier(static_cast<v1::Tier>(in.containment));
  out.set_isolation_tier(static_cast<v1::Tier>(in.isolation));
  out.set_block_binary_tier(static_cast<v1::Tier>(in.block_binary));
  out.set_allow_list_tier(static_cast<v1::Tier>(in.allow_list));
  for (const Mechanism& mechanism : in.mechanisms) {
    v1::Mechanism* added = out.add_mechanisms();
    added->set_name(Utf8(mechanism.name));
    added->set_available(mechanism.available);
    added->set_reason(Utf8(mechanism.reason));
  }
  return out;
}

v1::DesiredState DesiredStateToProto(const DesiredState& in) {
  v1::DesiredState out;
  out.set_sensor_id(in.sensor_id);
  out.set_generation(in.generation);
  out.set_digest(std::string(in.digest.begin(), in.digest.end()));
  for (const auto& [slot, issued_at] : in.order_marks) {
    v1::OrderMark* mark = out.add_order_marks();
    mark->set_slot(slot);
    *mark->mutable_issued_at() = TimeToProto(issued_at);
  }
  for (const Policy& policy : in.policies) {
    // Whatever was refused: the reader compares the flags with the policies before it knows of refusals.
    const bool of_host = !policy.scope.has_value();
    if (of_host && policy.policy_template == PolicyTemplate::kNetworkContainment) out.set_contained(true);
    if (of_host && policy.policy_template == PolicyTemplate::kNetworkIsolation) out.set_isolated(true);
    v1::EnforcementPolicy* added = out.add_enforcement_policies();
    added->set_id(policy.id);
    added->set_name(policy.name);
    added->set_sensor_id(in.sensor_id);
    added->set_template_(static_cast<v1::PolicyTemplate>(policy.policy_template));
    added->set_action(static_cast<v1::PolicyAction>(policy.action));
    if (policy.expires_at.has_value()) *added->mutable_expires_at() = TimeToProto(*policy.expires_at);
    added->set_on_expiry(static_cast<v1::OnExpiry>(policy.on_expiry));
    added->set_on_unreachable(static_cast<v1::OnUnreachable>(policy.on_unreachable));
    added->set_refused(Utf8(policy.refused));
    added->set_kept(Utf8(policy.kept));
    if (policy.scope.has_value()) ScopeToProto(*policy.scope, added->mutable_scope());
    if (policy.policy_template == PolicyTemplate::kAllowList) AllowListToProto(policy, added->mutable_allow_list());
    if (policy.policy_template != PolicyTemplate::kBlockBinary) continue;
    added->mutable_block_binary()->set_path(policy.binary_path);
    added->mutable_block_binary()->set_sha256(policy.binary_sha256);
    added->mutable_block_binary()->set_kill_running(policy.kill_running);
    added->mutable_block_binary()->set_forced(policy.forced);
    if (!policy.block_list.empty()) BlockListToProto(policy, added->mutable_block_binary()->mutable_list());
  }
  for (const IsolationRule& rule : in.isolation_rules) {
    v1::IsolationRule* added = out.add_isolation_rules();
    added->set_id(rule.id);
    if (!rule.remote.is_any()) added->set_address(rule.remote.ToString());
    if (rule.first_port != 0) {
      added->mutable_ports()->set_first(rule.first_port);
      added->mutable_ports()->set_last(rule.last_port);
    }
    added->set_protocol(rule.protocol);
    added->set_direction(static_cast<v1::Direction>(rule.direction));
  }
  return out;
}

}  // namespace bulkhead::sensor
