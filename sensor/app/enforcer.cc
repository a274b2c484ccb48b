// Brings desired states into the kernel and onto the disk, and reads back what is in force.
#include "sensor/app/enforcer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/link/state_codec.h"

namespace bulkhead::sensor {

void Enforcer::Restore() {
  for (const std::string& payload : store_->Load(&start_problems_)) {
    absl::StatusOr<DesiredState> state = DecodeDesiredState(payload);
    const absl::Status status = state.ok() ? ApplyAndStore(*state) : state.status();
    if (status.ok()) {
      LogInfo("stored desired state is in force again", {{"generation", in_force_.generation},
                                                         {"contained", in_force_.contained()},
                                                         {"isolated", in_force_.isolated()}});
      break;
    }
    start_problems_.push_back(absl::StrCat("the stored desired state could not be enforced: ", status.message()));
  }
  for (const std::string& problem : start_problems_) LogError("restore is incomplete", {{"problem", problem}});
}

absl::Status Enforcer::Accept(const DesiredState& incoming, const SensorFacts& facts) {
  RETURN_IF_ERROR(CheckDesiredState(incoming, facts));
  const ReconcileDecision decision = reconciler_.Decide(incoming, in_force_);
  if (decision.action == ReconcileAction::kRefuse) return absl::FailedPreconditionError(decision.reason);
  if (decision.action == ReconcileAction::kAlreadyInForce && KernelHas(incoming)) return absl::OkStatus();
  if (!decision.reason.empty()) LogWarning("control plane went back in time", {{"decision", decision.reason}});
  return ApplyAndStore(incoming);
}

absl::Status Enforcer::AcceptLocal(const DesiredState& incoming, const SensorFacts& facts) {
  RETURN_IF_ERROR(CheckDesiredState(incoming, facts));
  return ApplyAndStore(incoming);
}

bool Enforcer::KernelHas(const DesiredState& state) {
  const absl::StatusOr<ObservedState> observed = datapath_->Observe();
  return observed.ok() && observed->receipt.generation == state.generation && observed->receipt.digest == state.digest;
}

absl::Status Enforcer::ApplyAndStore(const DesiredState& state) {
  absl::Status stored = store_->Stage(EncodeDesiredState(state));
  const absl::Status applied = datapath_->Apply(state);
  if (!applied.ok()) {
    store_->Discard().IgnoreError();
    return Annotate(applied, absl::StrCat("applying generation ", state.generation));
  }
  in_force_ = state;
  start_problems_.clear();
  if (stored.ok()) stored = store_->Commit();
  if (!stored.ok()) LogError("desired state was not stored", {{"error", stored.message()}});
  disk_problem_ =
      stored.ok()
          ? ""
          : absl::StrCat("generation ", state.generation,
                         " is in force but could not be stored, so it would not survive a reboot: ", stored.message());
  return absl::OkStatus();
}

ObservedState Enforcer::Observe() {
  absl::StatusOr<ObservedState> observed = datapath_->Observe();
  if (!observed.ok()) {
    ObservedState unknown;
    unknown.critical.push_back(absl::StrCat("the kernel could not be read back: ", observed.status().message()));
    return unknown;
  }
  observed->degraded.insert(observed->degraded.end(), start_problems_.begin(), start_problems_.end());
  if (!disk_problem_.empty()) observed->degraded.push_back(disk_problem_);
  return *std::move(observed);
}

std::vector<std::string> Enforcer::Maintain() {
  absl::StatusOr<std::vector<std::string>> repaired = datapath_->Maintain();
  if (repaired.ok()) return *std::move(repaired);
  // Observe reports the state that this leaves behind.
  LogError("drift could not be repaired", {{"error", repaired.status().message()}});
  return {};
}

}  // namespace bulkhead::sensor
