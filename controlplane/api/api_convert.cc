// Field by field.
#include "controlplane/api/api_convert.h"

#include <algorithm>

#include "controlplane/domain/errors.h"
#include "controlplane/domain/health.h"
#include "controlplane/domain/validate.h"
#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {

v1::Sensor ToProto(const Sensor& sensor, absl::Duration interval, absl::Time now) {
  const HealthReport health = AssessHealth(sensor, interval, now);
  v1::Sensor proto;
  proto.set_id(sensor.id);
  proto.set_name(sensor.name);
  proto.set_trust(static_cast<v1::Trust>(sensor.trust));
  proto.set_health(static_cast<v1::Health>(health.health));
  for (const std::string& reason : health.reasons) proto.add_health_reasons(reason);
  proto.set_disabled(sensor.disabled);
  proto.set_is_contained(sensor.Find(PolicyTemplate::kNetworkContainment) != nullptr);
  proto.set_is_isolated(sensor.Find(PolicyTemplate::kNetworkIsolation) != nullptr);
  proto.set_desired_generation(sensor.desired_generation);
  proto.set_desired_digest(sensor.desired_digest);
  proto.set_convergence(static_cast<v1::ConvergenceState>(health.convergence));
  proto.set_convergence_reason(health.convergence_reason);
  // The blobs were serialized by this program; one that does not parse is shown as not reported.
  if (!sensor.report.observed.empty()) proto.mutable_observed()->ParseFromString(sensor.report.observed);
  if (sensor.observed_at) *proto.mutable_observed_at() = ToProto(*sensor.observed_at);
  if (!sensor.report.host_info.empty()) proto.mutable_host()->ParseFromString(sensor.report.host_info);
  if (!sensor.report.capabilities.empty()) proto.mutable_capabilities()->ParseFromString(sensor.report.capabilities);
  proto.set_connected(sensor.connected);
  if (sensor.last_heartbeat_at) *proto.mutable_last_heartbeat_at() = ToProto(*sensor.last_heartbeat_at);
  *proto.mutable_enrolled_at() = ToProto(sensor.enrolled_at);
  if (sensor.certificate_not_after) *proto.mutable_certificate_not_after() = ToProto(*sensor.certificate_not_after);
  proto.set_etag(sensor.etag);
  for (const Policy& policy : sensor.policies) *proto.add_enforcement_policies() = ToProto(policy);
  proto.mutable_labels()->insert(sensor.labels.begin(), sensor.labels.end());
  if (sensor.clone_suspected_at) *proto.mutable_clone_suspected_at() = ToProto(*sensor.clone_suspected_at);
  proto.set_clone_reason(sensor.clone_reason);
  return proto;
}

v1::EnrollmentToken ToProto(const EnrollmentToken& token) {
  v1::EnrollmentToken proto;
  proto.set_id(token.id);
  proto.set_label(token.label);
  proto.set_state(static_cast<v1::EnrollmentTokenState>(token.state));
  *proto.mutable_created_at() = ToProto(token.created_at);
  proto.set_created_by(token.created_by);
  *proto.mutable_expires_at() = ToProto(token.expires_at);
  proto.set_used_by_sensor_id(token.used_by_sensor_id);
  proto.set_reenroll_sensor_id(token.reenroll_sensor_id);
  proto.set_max_uses(token.max_uses);
  proto.set_uses(token.uses);
  for (const IpPrefix& network : token.allowed_networks) proto.add_allowed_networks(network.ToString());
  proto.mutable_sensor_labels()->insert(token.sensor_labels.begin(), token.sensor_labels.end());
  return proto;
}

v1::StoredEvent ToProto(const StoredEvent& event) {
  v1::StoredEvent out;
  out.set_id(event.id);
  out.set_sensor_id(event.sensor_id);
  out.set_sensor_name(event.sensor_name);
  *out.mutable_received_at() = ToProto(event.received_at);
  out.set_lost_before(event.lost_before);
  v1::Event& said = *out.mutable_event();
  said.set_sequence(event.event.sequence);
  if (event.event.time) *said.mutable_time() = ToProto(*event.event.time);
  said.set_kind(static_cast<v1::EventKind>(event.event.kind));
  said.set_policy_id(event.event.policy_id);
  said.set_pid(event.event.pid);
  said.set_comm(event.event.comm);
  said.set_detail(event.event.detail);
  said.set_uid(event.event.uid);
  said.set_parent_pid(event.event.parent_pid);
  said.set_parent_comm(event.event.parent_comm);
  said.set_cgroup(event.event.cgroup);
  said.set_container(event.event.container);
  return out;
}

v1::Rollout ToProto(const Rollout& rollout) {
  v1::Rollout proto;
  proto.set_id(rollout.id);
  proto.set_state(static_cast<v1::RolloutState>(rollout.state));
  // Serialized by this program when the rollout was created.
  proto.mutable_order()->ParseFromString(rollout.order);
  if (proto.order().block_binary().binary().has_list()) {
    v1::BlockList& list = *proto.mutable_order()->mutable_block_binary()->mutable_binary()->mutable_list();
    list.set_size(static_cast<uint32_t>(list.binaries_size()));
    list.clear_binaries();
  }
  proto.mutable_limits()->set_max_in_flight(rollout.limits.max_in_flight);
  proto.mutable_limits()->set_max_per_hour(rollout.limits.max_per_hour);
  proto.mutable_limits()->set_max_failures(rollout.limits.max_failures);
  proto.mutable_limits()->set_enforce_within_seconds(rollout.limits.enforce_within_seconds);
  proto.set_label_selector(rollout.label_selector);
  proto.set_pending(rollout.counts.pending);
  proto.set_ordered(rollout.counts.ordered);
  proto.set_enforced(rollout.counts.enforced);
  proto.set_failed(rollout.counts.failed);
  proto.set_halted_because(rollout.halted_because);
  proto.set_reason(rollout.reason);
  // A rollout that was only validated was never created.
  if (!rollout.id.empty()) *proto.mutable_created_at() = ToProto(rollout.created_at);
  proto.set_created_by(rollout.created_by);
  if (rollout.ended_at) *proto.mutable_ended_at() = ToProto(*rollout.ended_at);
  return proto;
}

v1::RolloutTarget ToProto(const RolloutTarget& target) {
  v1::RolloutTarget proto;
  proto.set_sensor_id(target.sensor_id);
  proto.set_sensor_name(target.sensor_name);
  proto.set_state(static_cast<v1::RolloutTargetState>(target.state));
  proto.set_message(target.message);
  *proto.mutable_changed_at() = ToProto(target.changed_at);
  return proto;
}

v1::AuditRecord ToProto(const AuditRecord& record) {
  v1::AuditRecord proto;
  proto.set_sequence(record.sequence);
  *proto.mutable_time() = ToProto(record.time);
  proto.set_actor(record.actor);
  proto.set_action(record.action);
  proto.set_target(record.target);
  proto.set_request_id(record.request_id);
  proto.set_outcome(record.outcome);
  proto.set_details_json(record.details_json);
  proto.set_hash(record.hash);
  return proto;
}

Labels LabelsOf(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

IsolationRuleInput InputOf(const v1::IsolationRule& rule) {
  return {.address = rule.address(),
          .has_ports = rule.has_ports(),
          .first_port = rule.ports().first(),
          .last_port = rule.ports().last(),
          .protocol = rule.protocol(),
          .direction = rule.direction(),
          .description = rule.description()};
}

ProcessIdentity FromProto(const v1::ProcessIdentity& process, absl::Time now) {
  return {.pid = process.pid(),
          .start_time_ticks = process.start_time_ticks(),
          .boot_id = process.boot_id(),
          .executable = process.executable(),
          .not_started_after =
              process.has_not_started_after() ? std::min(FromProto(process.not_started_after()), now) : now};
}

absl::StatusOr<orders::KillGroup> GroupOf(const v1::KillGroup& group, absl::Time now) {
  switch (group.target_case()) {
    case v1::KillGroup::kTree:
      return FromProto(group.tree(), now);
    case v1::KillGroup::kFile:
      return RunningFile{group.file().path(), group.file().sha256()};
    case v1::KillGroup::kScope:
      return FromProto(group.scope(), "group.scope");
    case v1::KillGroup::TARGET_NOT_SET:
      break;
  }
  return InvalidField("group", "must have a tree, a file or a scope");
}

PolicyAction ActionOr(v1::PolicyAction action, PolicyAction otherwise) {
  return action == v1::POLICY_ACTION_UNSPECIFIED ? otherwise : static_cast<PolicyAction>(action);
}

absl::StatusOr<std::optional<absl::Time>> ExpiryOf(const v1::Lease& lease, absl::Time now) {
  if (lease.end_case() == v1::Lease::END_NOT_SET) return InvalidField("lease", "must have a duration or an end");
  const bool relative = lease.end_case() == v1::Lease::kDuration;
  const absl::Time end = relative ? now + FromProto(lease.duration()) : FromProto(lease.until());
  RETURN_IF_ERROR(ValidateExpiry(relative ? "lease.duration" : "lease.until", end, now));
  // Down to what the database keeps, so that the same order compares equal.
  return absl::FromUnixMicros(absl::ToUnixMicros(end));
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  constexpr int64_t kLimit = 315576000000;  // of google.protobuf.Duration, 10 000 years
  return absl::Seconds(std::clamp<int64_t>(duration.seconds(), -kLimit, kLimit)) + absl::Nanoseconds(duration.nanos());
}

}  // namespace bulkhead::controlplane
