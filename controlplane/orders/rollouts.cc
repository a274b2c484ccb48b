// What operators order about rollouts: create, cancel, resume.
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

absl::StatusOr<LabelSelector> SelectorOf(const std::string& text, bool all_sensors) {
  if (text.empty() && !all_sensors) {
    return InvalidField("label_selector", "is empty; give one, or set all_sensors to mean every sensor");
  }
  if (!text.empty() && all_sensors) return InvalidField("all_sensors", "must be unset with a label_selector");
  return ParseLabelSelector("label_selector", text);
}

// Gives the order to one sensor and takes it back. What that sensor cannot honour is no fault of the order.
absl::Status TryOrder(Transaction& tx, const OrderContext& context, const Rollout& rollout,
                      const std::string& sensor_id, const RolloutOrderer& give) {
  absl::Status outcome;
  const absl::Status undone = tx.Attempt([&] {
    outcome = give(tx, context, rollout, sensor_id).status();
    return absl::CancelledError("only a trial");
  });
  if (!absl::IsCancelled(undone)) return undone;
  return absl::IsInvalidArgument(outcome) ? outcome : absl::OkStatus();
}

JsonObject Details(const Rollout& rollout, size_t sensors) {
  JsonObject details;
  details.Add("order", rollout.kind).Add("sensors", uint64_t{sensors});
  details.Add("selector", rollout.label_selector.empty() ? "(all)" : rollout.label_selector);
  details.Add("max_in_flight", uint64_t{rollout.limits.max_in_flight});
  if (rollout.limits.max_per_hour != 0) details.Add("max_per_hour", uint64_t{rollout.limits.max_per_hour});
  details.Add("max_failures", uint64_t{rollout.limits.max_failures});
  details.Add("enforce_within_seconds", uint64_t{rollout.limits.enforce_within_seconds});
  return details;
}

const char* Word(RolloutState state) {
  switch (state) {
    case RolloutState::kRunning:
      return "running";
    case RolloutState::kHalted:
      return "halted";
    case RolloutState::kDone:
      return "done";
    case RolloutState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

// The rollout, locked, when it has not ended.
absl::StatusOr<Rollout> LockOpen(Transaction& tx, const OrderContext& context, const std::string& rollout_id) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  RETURN_IF_ERROR(ValidateUuid("id", rollout_id));
  ASSIGN_OR_RETURN(Rollout rollout, tx.GetRollout(rollout_id, /*lock=*/true));
  if (rollout.ended_at) return RolloutEnded(rollout_id, Word(rollout.state));
  return rollout;
}

}  // namespace

absl::StatusOr<Rollout> CreateRollout(Transaction& tx, const OrderContext& context, Rollout wanted, bool all_sensors,
                                      bool validate_only, const RolloutOrderer& give) {
  RETURN_IF_ERROR(ValidateOrderContext(context));
  ASSIGN_OR_RETURN(const LabelSelector selector, SelectorOf(wanted.label_selector, all_sensors));
  ASSIGN_OR_RETURN(wanted.limits, ValidateRolloutLimits(wanted.limits));
  ASSIGN_OR_RETURN(const std::vector<RolloutTarget> targets, tx.SelectTargets(selector));
  if (targets.empty()) return NoSensorMatches();
  wanted.reason = context.reason;
  wanted.created_by = context.actor;
  wanted.ordered_by = context.actor;
  RETURN_IF_ERROR(TryOrder(tx, context, wanted, targets.front().sensor_id, give));
  wanted.counts.pending = static_cast<uint32_t>(targets.size());
  if (validate_only) return wanted;
  wanted.id = NewUuid();
  RETURN_IF_ERROR(tx.InsertRollout(wanted, targets));
  RETURN_IF_ERROR(
      Audit(tx, context, "rollout_created", RolloutRecordTarget(wanted.id), false, Details(wanted, targets.size())));
  return tx.GetRollout(wanted.id, /*lock=*/false);
}

absl::StatusOr<Rollout> CancelRollout(Transaction& tx, const OrderContext& context, const std::string& rollout_id) {
  ASSIGN_OR_RETURN(Rollout rollout, LockOpen(tx, context, rollout_id));
  JsonObject details;
  details.Add("not_ordered", uint64_t{rollout.counts.pending}).Add("state_before", Word(rollout.state));
  rollout.state = RolloutState::kCancelled;
  rollout.halted_because.clear();
  RETURN_IF_ERROR(tx.UpdateRollout(rollout));
  RETURN_IF_ERROR(Audit(tx, context, "rollout_cancelled", RolloutRecordTarget(rollout.id), false, details));
  return tx.GetRollout(rollout.id, /*lock=*/false);
}

absl::StatusOr<Rollout> ResumeRollout(Transaction& tx, const OrderContext& context, const std::string& rollout_id) {
  ASSIGN_OR_RETURN(Rollout rollout, LockOpen(tx, context, rollout_id));
  if (rollout.state != RolloutState::kHalted) return RolloutNotHalted(rollout_id);
  JsonObject details;
  details.Add("halted_because", rollout.halted_because).Add("forgiven", uint64_t{rollout.counts.failed});
  rollout.state = RolloutState::kRunning;
  rollout.halted_because.clear();
  rollout.forgiven = rollout.counts.failed;
  rollout.ordered_by = context.actor;
  RETURN_IF_ERROR(tx.UpdateRollout(rollout));
  RETURN_IF_ERROR(Audit(tx, context, "rollout_resumed", RolloutRecordTarget(rollout.id), false, details));
  return tx.GetRollout(rollout.id, /*lock=*/false);
}

}  // namespace bulkhead::controlplane::orders
