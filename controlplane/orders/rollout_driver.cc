// Carries rollouts on: judges what was ordered, gives the next orders, halts on harm.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controlplane/orders/audit_entry.h"
#include "controlplane/orders/orders.h"

namespace bulkhead::controlplane::orders {
namespace {

// Between two looks at what came of the orders before.
constexpr int kOrdersInARow = 32;

// The database is away, or somebody was in the way: nothing is known about the order.
bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) || absl::IsUnknown(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

// The order of a rollout is the operator's, and its record leads back to the rollout.
OrderContext ContextOf(const Rollout& rollout) {
  OrderContext context;
  context.actor = rollout.ordered_by;
  context.request_id = absl::StrCat("rollout-", rollout.id);
  context.reason = rollout.reason;
  return context;
}

absl::Status Enter(Transaction& tx, Rollout rollout, const RolloutStep& step) {
  rollout.state = *step.ends;
  rollout.halted_because = step.why;
  RETURN_IF_ERROR(tx.UpdateRollout(rollout));
  OrderContext context;
  context.actor = kSystemActor;
  JsonObject details;
  details.Add("enforced", uint64_t{rollout.counts.enforced}).Add("failed", uint64_t{rollout.counts.failed});
  details.Add("not_ordered", uint64_t{rollout.counts.pending}).AddIfSet("halted_because", step.why);
  const char* const action = rollout.state == RolloutState::kHalted ? "rollout_halted" : "rollout_done";
  return Audit(tx, context, action, RolloutRecordTarget(rollout.id), false, details);
}

// One transaction: what came of the orders so far, and whether that ends the rollout. False: nothing was new, or
// another replica is at it.
absl::StatusOr<bool> Judge(Transaction& tx, const std::string& rollout_id) {
  ASSIGN_OR_RETURN(std::optional<RolloutStanding> standing, tx.ClaimRollout(rollout_id));
  if (!standing) return false;
  ASSIGN_OR_RETURN(const std::vector<RolloutEvidence> evidence, tx.TargetsToJudge(standing->rollout));
  bool changed = false;
  for (const RolloutEvidence& item : evidence) {
    const std::optional<TargetVerdict> verdict = JudgeTarget(standing->rollout, item);
    if (!verdict) continue;
    RETURN_IF_ERROR(tx.MarkTarget(rollout_id, item.target.sensor_id, *verdict));
    changed = true;
  }
  if (changed) {
    ASSIGN_OR_RETURN(standing, tx.ClaimRollout(rollout_id));
  }
  const RolloutStep step = NextStep(*standing);
  if (!step.ends) return changed;
  RETURN_IF_ERROR(Enter(tx, standing->rollout, step));
  return true;
}

// One transaction: the order to the next sensor and the target's new state, or neither. False: there is no room for
// another order now.
absl::StatusOr<bool> OrderNext(Transaction& tx, const std::string& rollout_id, const RolloutOrderer& give) {
  ASSIGN_OR_RETURN(const std::optional<RolloutStanding> standing, tx.ClaimRollout(rollout_id));
  if (!standing || NextStep(*standing).orders == 0) return false;
  ASSIGN_OR_RETURN(const std::optional<RolloutTarget> target, tx.NextPendingTarget(rollout_id));
  if (!target) return false;
  uint64_t generation = 0;
  const absl::Status given = tx.Attempt([&]() -> absl::Status {
    ASSIGN_OR_RETURN(generation, give(tx, ContextOf(standing->rollout), standing->rollout, target->sensor_id));
    return tx.MarkTargetOrdered(rollout_id, target->sensor_id, generation);
  });
  if (given.ok()) return true;
  if (IsTransient(given)) return given;
  RETURN_IF_ERROR(tx.MarkTarget(rollout_id, target->sensor_id,
                                {RolloutTargetState::kFailed, absl::StrCat("refused: ", given.message())}));
  return true;
}

absl::StatusOr<bool> Drive(Store& store, const std::string& rollout_id, const RolloutOrderer& give) {
  bool changed = false;
  RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(changed, Judge(tx, rollout_id));
    return absl::OkStatus();
  }));
  for (int i = 0; i < kOrdersInARow; ++i) {
    bool given = false;
    RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(given, OrderNext(tx, rollout_id, give));
      return absl::OkStatus();
    }));
    if (!given) break;
    changed = true;
  }
  return changed;
}

}  // namespace

absl::StatusOr<RolloutPass> DriveRollouts(Store& store, const RolloutOrderer& give) {
  std::vector<std::string> open;
  RETURN_IF_ERROR(store.Run([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(open, tx.OpenRollouts());
    return absl::OkStatus();
  }));
  RolloutPass pass{.open = !open.empty()};
  for (const std::string& id : open) {
    const absl::StatusOr<bool> changed = Drive(store, id, give);
    if (changed.ok()) {
      pass.changed = pass.changed || *changed;
    } else {
      // The others need not wait for this one.
      ++pass.failed;
      LogError("rollout not carried on", {{"rollout", id}, {"error", changed.status().ToString()}});
    }
  }
  return pass;
}

}  // namespace bulkhead::controlplane::orders
