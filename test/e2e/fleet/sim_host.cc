// A simulated host: what of it outlives its sensor, that is the kernel's rules and the sensor's files.
#include "e2e/fleet/sim_host.h"

namespace bulkhead::e2e {
namespace {

v1::CommandResult Result(const std::string& command_id, v1::KillOutcome outcome, const std::string& message) {
  v1::CommandResult result;
  result.set_command_id(command_id);
  result.mutable_kill_result()->set_outcome(outcome);
  result.mutable_kill_result()->set_message(message);
  return result;
}

// As the real sensor reads a time: relative to the clock of who sent it, whatever its own says.
double SecondsLeft(const google::protobuf::Timestamp& end, const google::protobuf::Timestamp& sent_at) {
  return static_cast<double>(end.seconds() - sent_at.seconds()) + (end.nanos() - sent_at.nanos()) / 1e9;
}

}  // namespace

v1::PolicyStatus SimHost::Apply(const v1::DesiredState& desired) {
  v1::PolicyStatus status;
  status.set_generation(desired.generation());
  if (desired.sensor_id() != sensor_id_ || desired.generation() < generation_) {
    status.set_message(desired.sensor_id() != sensor_id_ ? "this is the state of another sensor"
                                                         : "this is older than what is in force");
    *status.mutable_observed() = Observe();
    return status;
  }
  if (planted_ == Planted::kRefusesOrders && desired.enforcement_policies_size() > 0) {
    status.set_message("this host refuses orders");
    *status.mutable_observed() = Observe();
    return status;
  }
  Enforced wanted;
  double isolation_seconds = 0;
  for (const v1::EnforcementPolicy& policy : desired.enforcement_policies()) {
    if (policy.template_() == v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT) wanted.contained = true;
    if (policy.template_() == v1::POLICY_TEMPLATE_NETWORK_ISOLATION) {
      wanted.isolated = true;
      if (policy.has_expires_at()) isolation_seconds = SecondsLeft(policy.expires_at(), desired.sent_at());
    }
    if (policy.template_() == v1::POLICY_TEMPLATE_BLOCK_BINARY) wanted.blocked.insert(policy.block_binary().path());
  }
  if (planted_ == Planted::kInventsState && desired.generation() % 2 == 0) wanted.contained = !wanted.contained;
  if (planted_ == Planted::kIgnoresSentAt && isolation_seconds != 0) isolation_seconds += 7200;
  generation_ = desired.generation();
  digest_ = desired.digest();
  if (planted_ != Planted::kDropsOrders || desired.generation() % 2 != 0) {
    enforced_ = std::move(wanted);
    history_->Add(Applied{sensor_id_, generation_, digest_, enforced_, Clock::now(), isolation_seconds});
  }
  status.set_applied(true);
  *status.mutable_observed() = Observe();
  return status;
}

std::optional<v1::CommandResult> SimHost::Kill(const v1::Command& command, bool dies) {
  // Too late to begin; the control plane ends it.
  if (!commands_.contains(command.id()) && SecondsLeft(command.not_after(), command.sent_at()) <= 0)
    return std::nullopt;
  const auto [entry, is_new] = commands_.try_emplace(command.id());
  if (!is_new) {
    if (!entry->second) entry->second = Result(command.id(), v1::KILL_OUTCOME_UNKNOWN, "the sensor died over it");
  } else {
    history_->Add(Killed{sensor_id_, command.id(), command.kill_process().pid()});
    if (dies) return std::nullopt;
    entry->second = Result(command.id(), v1::KILL_OUTCOME_GONE, "killed");
  }
  if (planted_ == Planted::kLosesLateResults) return std::nullopt;
  unacknowledged_[command.id()] = *entry->second;
  return entry->second;
}

v1::ObservedState SimHost::Observe() const {
  v1::ObservedState observed;
  observed.mutable_receipt()->set_generation(generation_);
  observed.mutable_receipt()->set_digest(digest_);
  observed.mutable_receipt()->set_complete(true);  // a simulated wall has nothing to try
  observed.set_contained(enforced_.contained);
  observed.set_isolated(enforced_.isolated);
  return observed;
}

void SimHost::Restart() {
  if (planted_ == Planted::kForgetsKills) commands_.clear();
}

}  // namespace bulkhead::e2e
