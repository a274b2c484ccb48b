// Brings desired states into the kernel and onto the disk, puts walls on trial, and reads back what is in force.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "sensor/app/proof_worker.h"
#include "sensor/domain/datapath.h"
#include "sensor/domain/desired_state_check.h"
#include "sensor/domain/order_authority.h"
#include "sensor/domain/reconcile.h"
#include "sensor/domain/trial.h"
#include "sensor/store/desired_state_store.h"

namespace bulkhead::sensor {

// A state with a wall is first on trial: it is in the kernel and staged on disk, and a proof of a new connection to the
// control plane decides whether it is committed or what was before comes back (see domain/trial.h). A sensor that ends
// meanwhile finds it staged at its next start, enforces it and goes on with the trial. Not thread safe: used by the
// loop thread only.
class Enforcer {
 public:
  // What a trial came to. OK: the state is in force; otherwise what was before is, and the message says why.
  struct TrialEnd {
    uint64_t generation = 0;
    absl::Status status;
  };

  Enforcer(Datapath* datapath, DesiredStateStore* store) : datapath_(datapath), store_(store) {}

  // From now on walls are put on trial: `start` begins a proof with a ticket, whose end comes to ProofEnded. Without it
  // (there is no control plane) every state is committed at once.
  void StartProofsWith(std::function<void(uint64_t ticket)> start) { start_proof_ = std::move(start); }

  // From now on orders need the operators' signatures that `authority` wants; it outlives this.
  void Demand(const OrderAuthority* authority) { authority_ = authority; }
  bool demands_signatures() const { return authority_ != nullptr; }

  // At start, before the network is used: enforces the stored state again. When there is none, or it cannot be used,
  // the kernel stays as it is and ObservedState::degraded says so.
  void Restore();

  // Checks, decides, stages, applies, and commits or begins a trial: OK, the state is in force, or on_trial(). A policy
  // that this host cannot take is left out alone, and Observe says so: a contain never waits for a block. Otherwise
  // what was in force still is, and the message says why, in words for an operator. A disk that cannot be written does
  // not stop an order; it is reported as degraded.
  absl::Status Accept(const DesiredState& incoming, const SensorFacts& facts);

  // The same for a state from a local file, whose generation says nothing about its age. Taken as a whole or not at
  // all.
  absl::Status AcceptLocal(const DesiredState& incoming, const SensorFacts& facts);

  bool on_trial() const { return trial_.has_value(); }

  // A proof has ended. Nothing: it was not for the wall on trial, or another proof was begun.
  std::optional<TrialEnd> ProofEnded(const ProofDone& done);

  // Addresses of the control plane are known: begins the proof for a wall that Restore found on trial.
  void ResumeTrial();

  // Other addresses are pinned than before: a wall that was rolled back may be tried again.
  void AddressesChanged() { rolled_back_.reset(); }

  // A new stream to `address` was opened, through whatever is in force.
  void Reached(const std::string& address);

  // Read back from the kernel, with the receipt's probes and the sensor's own problems added. When reading fails,
  // `critical` says so.
  ObservedState Observe();

  // What was repaired, in words. Walls whose scopes moved are proved anew.
  std::vector<std::string> Maintain();

  // What happened to the scopes of walls since the last call, in words.
  std::vector<std::string> TakeScopeMoves() { return std::exchange(scope_moves_, {}); }

  // Names of policies whose lease ended since the last call: the kernel does not enforce them any more.
  std::vector<std::string> TakeEndedLeases();

  // The last state that this sensor committed; generation 0: none.
  const DesiredState& in_force() const { return in_force_; }

 private:
  struct Trial {
    DesiredState state;
    TrialStep step = TrialStep::kWallUp;
    bool hold = false;    // never rolled back: the order says so, or what was before is not known
    absl::Status stored;  // of staging it
    uint64_t ticket = 0;  // of the proof that runs; 0: none was begun
  };
  struct RolledBack {
    DesiredState state;
    std::string reason;
  };

  Authorized Authorize(const DesiredState& incoming);
  DesiredState WithRefusals(const DesiredState& incoming, const SensorFacts& facts);
  void AddRefusalsOfHost(DesiredState* state, const DesiredState& in_force);
  static void ReportKept(const Policy& policy, ObservedState* observed);
  static void ReportRefused(const DesiredState& state, ObservedState* observed);
  bool RestoreOne(const StoredState& stored, const DesiredState& previous);
  bool KernelHas(const DesiredState& state);
  bool CanRollBackFrom(const DesiredState& incoming);
  absl::Status ApplyAndStore(const DesiredState& state, bool with_trial, bool must_be_stored = false);
  void Commit(const DesiredState& state, absl::Status stored);
  void ProveWall();
  void StartProof();

  // The ends of a trial.
  std::optional<TrialEnd> AskWithoutWall();
  TrialEnd CommitTrial(const std::string& note);
  TrialEnd RollBack(const std::string& reason, bool put_back);
  TrialEnd RaiseAgain(const std::string& note);

  Datapath* const datapath_;
  DesiredStateStore* const store_;
  const OrderAuthority* authority_ = nullptr;  // null: nothing needs to be signed
  std::function<void(uint64_t)> start_proof_;
  Reconciler reconciler_;
  DesiredState in_force_;
  std::optional<Trial> trial_;
  std::optional<RolledBack> rolled_back_;  // the control plane repeats it; it is not tried again
  uint64_t last_ticket_ = 0;
  std::vector<ActiveProbe> probes_;              // of what is in the kernel
  std::optional<ActiveProbe> connection_probe_;  // the same: a new connection to the control plane
  bool proved_ = false;                          // probes_ are complete
  std::string trial_note_;                       // why what is in force is less than it should be
  std::vector<std::string> scope_moves_;         // not yet taken
  std::set<std::string> ended_leases_;           // ids that were told
  std::vector<std::string> start_problems_;      // found by Restore; gone once a state was applied
  std::string rules_problem_;                    // why isolation rules were left out; empty when none were
  std::string disk_problem_;                     // last failure to store; empty when the disk has what is in force
};

}  // namespace bulkhead::sensor
