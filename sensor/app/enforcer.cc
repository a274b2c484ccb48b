// Brings desired states into the kernel and onto the disk, puts walls on trial, and reads back what is in force.
#include "sensor/app/enforcer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errno_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "sensor/link/state_codec.h"

namespace bulkhead::sensor {
namespace {

bool SameOrder(const DesiredState& a, const DesiredState& b) {
  return a.sensor_id == b.sensor_id && a.generation == b.generation && a.digest == b.digest;
}

}  // namespace

// ---- Start ----

void Enforcer::Restore() {
  const std::vector<StoredState> stored = store_->Load(&start_problems_);
  DesiredState previous;
  for (const StoredState& one : stored) {
    absl::StatusOr<DesiredState> state = DecodeDesiredState(one.payload, absl::Now());
    if (!one.staged && state.ok()) previous = *std::move(state);
  }
  for (const StoredState& one : stored) {
    if (RestoreOne(one, previous)) break;
  }
  for (const std::string& problem : start_problems_) LogError("restore is incomplete", {{"problem", problem}});
}

// Nothing is rolled back here: a wall that was proved stays whatever the network is like at boot, and one that was not
// goes on being on trial.
bool Enforcer::RestoreOne(const StoredState& stored, const DesiredState& previous) {
  absl::StatusOr<DesiredState> state = DecodeDesiredState(stored.payload, absl::Now());
  // Another kernel may have booted. A block whose file was swapped meanwhile stays.
  if (state.ok()) AddRefusalsOfHost(&*state, *state);
  const bool unproved = stored.staged && state.ok() && state->has_wall();
  in_force_ = previous;
  const bool hold = unproved && (HoldsUnreachable(*state, previous) || !CanRollBackFrom(*state));
  absl::Status status = state.status();
  if (state.ok())
    status = unproved ? datapath_->Apply(state->Enforceable()) : ApplyAndStore(*state, /*with_trial=*/false);
  if (!status.ok()) {
    start_problems_.push_back(absl::StrCat("the stored desired state could not be enforced: ", status.message()));
    in_force_ = DesiredState();
    return false;
  }
  if (unproved) trial_ = Trial{*state, TrialStep::kWallUp, hold, absl::OkStatus(), 0};
  LogInfo("stored desired state is in force again", {{"generation", state->generation},
                                                     {"contained", state->contained()},
                                                     {"isolated", state->isolated()},
                                                     {"on_trial", unproved}});
  return true;
}

void Enforcer::ResumeTrial() {
  if (trial_.has_value() && trial_->ticket == 0) StartProof();
}

// ---- Orders ----

absl::Status Enforcer::Accept(const DesiredState& incoming, const SensorFacts& facts) {
  RETURN_IF_ERROR(CheckDesiredState(incoming, facts));
  if (trial_.has_value() && SameOrder(incoming, trial_->state)) return absl::OkStatus();
  if (rolled_back_.has_value() && SameOrder(incoming, rolled_back_->state)) {
    return absl::FailedPreconditionError(rolled_back_->reason);
  }
  const ReconcileDecision decision = reconciler_.Decide(incoming, in_force_);
  if (decision.action == ReconcileAction::kRefuse) return absl::FailedPreconditionError(decision.reason);
  if (decision.action == ReconcileAction::kAlreadyInForce && KernelHas(incoming)) return absl::OkStatus();
  if (!decision.reason.empty()) LogWarning("control plane went back in time", {{"decision", decision.reason}});
  const Authorized authorized = Authorize(incoming);
  const DesiredState state = WithRefusals(authorized.state, facts);
  return ApplyAndStore(state, /*with_trial=*/start_proof_ != nullptr && state.has_wall(), authorized.lifts);
}

// What is on trial is enforced too: it is not lifted without a signature either.
Authorized Enforcer::Authorize(const DesiredState& incoming) {
  if (authority_ == nullptr) return {incoming};
  Authorized out = authority_->Authorize(incoming, trial_.has_value() ? trial_->state : in_force_, absl::Now());
  rules_problem_ = authority_->trusts_isolation_rules() || incoming.isolation_rules.empty()
                       ? ""
                       : absl::StrCat(incoming.isolation_rules.size(),
                                      " isolation rules are left out: this host's order keys say isolation-rules none");
  for (const Policy& policy : out.state.policies) {
    if (!policy.kept.empty()) LogError("a policy is kept", {{"policy", policy.name}, {"reason", policy.kept}});
  }
  return out;
}

absl::Status Enforcer::AcceptLocal(const DesiredState& incoming, const SensorFacts& facts) {
  RETURN_IF_ERROR(CheckDesiredState(incoming, facts));
  const DesiredState state = WithRefusals(incoming, facts);
  for (const Policy& policy : state.policies) {
    if (policy.refused.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat("policy ", policy.name, " (", policy.id, "): ", policy.refused));
  }
  return ApplyAndStore(state, /*with_trial=*/false);
}

// A verdict stays with its policy's id: asked again after somebody swapped a file, it could lift a block.
DesiredState Enforcer::WithRefusals(const DesiredState& incoming, const SensorFacts& facts) {
  DesiredState state = incoming;
  DesiredState known_here = in_force_;
  // About those nobody was asked yet.
  std::erase_if(known_here.policies, IsUnauthorized);
  for (Policy& policy : state.policies) {
    policy.signed_order.reset();
    if (IsUnauthorized(policy) || !policy.kept.empty()) continue;
    const Policy* known = known_here.FindId(policy.id);
    policy.refused = known != nullptr ? known->refused : std::string(CheckPolicy(policy, facts).message());
  }
  state.releases.clear();
  RefuseExcessiveLists(&state);
  AddRefusalsOfHost(&state, known_here);
  return state;
}

void Enforcer::AddRefusalsOfHost(DesiredState* state, const DesiredState& in_force) {
  const std::vector<Refusal> refusals = datapath_->Refusals(*state, in_force);
  for (Policy& policy : state->policies) {
    for (const Refusal& refusal : refusals) {
      if (refusal.policy_id == policy.id) policy.refused = refusal.reason;
    }
    if (policy.refused.empty()) continue;
    LogError("a policy is refused, the others are not", {{"policy", policy.name}, {"reason", policy.refused}});
  }
}

bool Enforcer::KernelHas(const DesiredState& state) {
  const absl::StatusOr<ObservedState> observed = datapath_->Observe();
  return observed.ok() && observed->receipt.generation == state.generation && observed->receipt.digest == state.digest;
}

// Without a stored state before, what the kernel holds from an earlier sensor could not be put back; lifting it instead
// would be a release that nobody ordered.
bool Enforcer::CanRollBackFrom(const DesiredState& incoming) {
  if (in_force_.generation != 0) return true;
  const absl::StatusOr<ObservedState> observed = datapath_->Observe();
  if (!observed.ok() || observed->older_sensor_in_force) return false;
  return observed->receipt.generation == 0 || observed->receipt.generation == incoming.generation;
}

absl::Status Enforcer::ApplyAndStore(const DesiredState& state, bool with_trial, bool must_be_stored) {
  absl::Status stored = store_->Stage(EncodeDesiredState(state, absl::Now()));
  if (!stored.ok() && must_be_stored) {
    return Annotate(stored, "a signed release cannot be stored, so what it lifts could be ordered again");
  }
  const bool hold = with_trial && (HoldsUnreachable(state, in_force_) || !CanRollBackFrom(state));
  const absl::Status applied = datapath_->Apply(state.Enforceable());
  if (!applied.ok()) {
    // A wall that is on trial goes on being so, on disk too.
    if (trial_.has_value()) {
      store_->Stage(EncodeDesiredState(trial_->state, absl::Now())).IgnoreError();
    } else {
      store_->Discard().IgnoreError();
    }
    return Annotate(applied, absl::StrCat("applying generation ", state.generation));
  }
  start_problems_.clear();
  rolled_back_.reset();
  trial_.reset();
  trial_note_.clear();
  connection_probe_.reset();
  probes_.clear();
  proved_ = false;
  if (!with_trial) {
    Commit(state, std::move(stored));
    return absl::OkStatus();
  }
  trial_ = Trial{state, TrialStep::kWallUp, hold, std::move(stored), 0};
  StartProof();
  return absl::OkStatus();
}

void Enforcer::Commit(const DesiredState& state, absl::Status stored) {
  in_force_ = state;
  if (stored.ok()) stored = store_->Commit();
  if (!stored.ok()) LogError("desired state was not stored", {{"error", stored.message()}});
  disk_problem_ =
      stored.ok()
          ? ""
          : absl::StrCat("generation ", state.generation,
                         " is in force but could not be stored, so it would not survive a reboot: ", stored.message());
  datapath_->DestroyForbidden();
  ProveWall();
}

void Enforcer::ProveWall() {
  probes_ = datapath_->Prove();
  proved_ = true;
  for (const ActiveProbe& probe : probes_) {
    if (!probe.passed) LogError("a probe of the wall did not pass", {{"probe", probe.name}, {"detail", probe.detail}});
  }
}

// ---- Trial ----

void Enforcer::StartProof() {
  trial_->ticket = ++last_ticket_;
  start_proof_(trial_->ticket);
}

std::optional<Enforcer::TrialEnd> Enforcer::ProofEnded(const ProofDone& done) {
  if (!trial_.has_value() || done.ticket != trial_->ticket) return std::nullopt;
  const TrialDecision decision = DecideTrial(trial_->step, done.proof.seen, trial_->hold, done.proof.detail);
  connection_probe_ = ActiveProbe{"control_plane_reachable", done.proof.seen == Reachability::kConnected,
                                  done.proof.detail, /*required=*/false};
  switch (decision.verdict) {
    case TrialVerdict::kCommit:
      return CommitTrial(decision.note);
    case TrialVerdict::kRollBack:
      return RollBack(decision.note, /*put_back=*/trial_->step == TrialStep::kWallUp);
    case TrialVerdict::kAskWithout:
      return AskWithoutWall();
    case TrialVerdict::kRaiseAgain:
      break;
  }
  return RaiseAgain(decision.note);
}

Enforcer::TrialEnd Enforcer::CommitTrial(const std::string& note) {
  const Trial trial = *std::exchange(trial_, std::nullopt);
  trial_note_ = note;
  Commit(trial.state, trial.stored);
  return {trial.state.generation, absl::OkStatus()};
}

std::optional<Enforcer::TrialEnd> Enforcer::AskWithoutWall() {
  LogWarning("no new connection to the control plane through the new wall; asking without it",
             {{"generation", trial_->state.generation}, {"seen", connection_probe_->detail}});
  const absl::Status back = datapath_->Apply(in_force_.Enforceable());
  if (!back.ok()) return CommitTrial(absl::StrCat("the wall could not be taken back: ", back.message()));
  trial_->step = TrialStep::kWallDown;
  StartProof();
  return std::nullopt;
}

Enforcer::TrialEnd Enforcer::RollBack(const std::string& reason, bool put_back) {
  const absl::Status back = put_back ? datapath_->Apply(in_force_.Enforceable()) : absl::OkStatus();
  if (!back.ok()) return CommitTrial(absl::StrCat(reason, "; and it could not be taken back: ", back.message()));
  const Trial trial = *std::exchange(trial_, std::nullopt);
  store_->Discard().IgnoreError();
  rolled_back_ = RolledBack{trial.state, reason};
  connection_probe_.reset();
  ProveWall();
  LogError("desired state was rolled back", {{"generation", trial.state.generation}, {"reason", reason}});
  return {trial.state.generation, absl::FailedPreconditionError(reason)};
}

Enforcer::TrialEnd Enforcer::RaiseAgain(const std::string& note) {
  const absl::Status raised = datapath_->Apply(trial_->state.Enforceable());
  if (raised.ok()) return CommitTrial(note);
  return RollBack(absl::StrCat("the wall could not be put up again: ", raised.message()), /*put_back=*/false);
}

void Enforcer::Reached(const std::string& address) {
  if (trial_.has_value() || !in_force_.has_wall()) return;
  trial_note_.clear();
  connection_probe_ = ActiveProbe{"control_plane_reachable", true,
                                  absl::StrCat(address, ": the stream was opened through this wall"), false};
}

// ---- Looking ----

ObservedState Enforcer::Observe() {
  absl::StatusOr<ObservedState> observed = datapath_->Observe();
  if (!observed.ok()) {
    ObservedState unknown;
    unknown.critical.push_back(absl::StrCat("the kernel could not be read back: ", observed.status().message()));
    return unknown;
  }
  observed->receipt.probes = probes_;
  if (connection_probe_.has_value() && in_force_.has_wall()) observed->receipt.probes.push_back(*connection_probe_);
  observed->receipt.complete = proved_ && !trial_.has_value();
  observed->degraded.insert(observed->degraded.end(), start_problems_.begin(), start_problems_.end());
  ReportRefused(trial_.has_value() ? trial_->state : in_force_, &*observed);
  if (!rules_problem_.empty()) observed->degraded.push_back(rules_problem_);
  if (!disk_problem_.empty()) observed->degraded.push_back(disk_problem_);
  if (!trial_note_.empty()) observed->degraded.push_back(trial_note_);
  return *std::move(observed);
}

void Enforcer::ReportRefused(const DesiredState& state, ObservedState* observed) {
  if (observed->receipt.generation != state.generation) return;
  for (const Policy& policy : state.policies) {
    if (!policy.kept.empty()) ReportKept(policy, observed);
    if (policy.refused.empty()) continue;
    ObservedPolicy entry;
    entry.policy_id = policy.id;
    entry.refused = policy.refused;
    observed->policies.push_back(std::move(entry));
    observed->degraded.push_back(absl::StrCat("policy ", policy.name, " is refused: ", policy.refused));
  }
}

void Enforcer::ReportKept(const Policy& policy, ObservedState* observed) {
  observed->degraded.push_back(absl::StrCat("policy ", policy.name, " is kept: ", policy.kept));
  for (ObservedPolicy& entry : observed->policies) {
    if (entry.policy_id == policy.id) entry.refused = policy.kept;
  }
}

std::vector<std::string> Enforcer::Maintain() {
  absl::StatusOr<std::vector<std::string>> repaired = datapath_->Maintain();
  const std::vector<std::string> moves = datapath_->TakeScopeMoves();
  scope_moves_.insert(scope_moves_.end(), moves.begin(), moves.end());
  // A wall on trial does both when it is committed.
  if (!moves.empty() && !trial_.has_value()) {
    datapath_->DestroyForbidden();
    ProveWall();
  }
  if (repaired.ok()) return *std::move(repaired);
  // Observe reports the state that this leaves behind.
  LogError("drift could not be repaired", {{"error", repaired.status().message()}});
  return {};
}

std::vector<std::string> Enforcer::TakeEndedLeases() {
  std::vector<std::string> names;
  const absl::Time now = absl::Now();
  for (const Policy& policy : in_force_.policies) {
    if (!policy.refused.empty()) continue;
    const bool over = policy.expires_at.has_value() && *policy.expires_at <= now;
    if (!over || policy.on_expiry != OnExpiry::kRelease || !ended_leases_.insert(policy.id).second) continue;
    names.push_back(policy.name);
  }
  return names;
}

}  // namespace bulkhead::sensor
