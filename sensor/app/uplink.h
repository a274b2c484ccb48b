// The conversation with the control plane: when to connect, what to say, how to answer.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/clock.h"
#include "sensor/app/command_runner.h"
#include "sensor/app/enforcer.h"
#include "sensor/app/guard_keeper.h"
#include "sensor/app/renewer.h"
#include "sensor/domain/backoff.h"
#include "sensor/domain/control_plane_link.h"
#include "sensor/domain/event_queue.h"
#include "sensor/store/address_store.h"

namespace bulkhead::sensor {

// Everything that the uplink works with; all outlive it.
struct UplinkParts {
  ControlPlaneLink* link = nullptr;
  Datapath* datapath = nullptr;
  Enforcer* enforcer = nullptr;
  CommandRunner* commands = nullptr;
  GuardKeeper* guard = nullptr;
  Renewer* renewer = nullptr;
  AddressStore* addresses = nullptr;
  ProofWorker* proofs = nullptr;  // proves that a new wall leaves the control plane reachable
  EventQueue* events = nullptr;
  const Clock* clock = nullptr;  // wall clock: certificates, deadlines of commands
  HostFacts host;
  SensorFacts facts;
  std::function<double()> uniform;  // in [0, 1)
};

// A state machine without threads or waiting: messages and the passing of time come in, messages go out through the
// link. `now` is monotonic time since some fixed moment. Not thread safe: used by the loop thread only.
class Uplink {
 public:
  using Monotonic = absl::Duration;

  explicit Uplink(UplinkParts parts);

  // Passes a message of the link.
  void Handle(LinkMessage message, Monotonic now);

  // Does what is due. Call at least at NextDeadline().
  void OnTime(Monotonic now);
  Monotonic NextDeadline() const { return deadline_; }

  // A kill has ended.
  void KillEnded(KillDone done);

  // A proof of a new connection has ended.
  void ProofEnded(const ProofDone& done);

  // The observed state changed: a heartbeat goes out at once.
  void ObservedChanged(Monotonic now);

  // Ends the stream politely; `stopped()` is true once it is over.
  void Stop();
  bool stopped() const { return stopping_ && state_ == State::kWaiting; }

  // For `status`: connected to whom, or why not.
  const std::string& description() const { return description_; }

 private:
  enum class State { kWaiting, kConnecting, kConnected };

  void HandleOne(const LinkResolved& message, Monotonic now);
  void HandleOne(const LinkWelcome& message, Monotonic now);
  void HandleOne(const LinkDesiredState& message, Monotonic now);
  void HandleOne(const LinkCommand& message, Monotonic now);
  void HandleOne(const LinkCommandAck& message, Monotonic now);
  void HandleOne(const LinkEventAck& message, Monotonic now);
  void HandleOne(const LinkCertificateIssued& message, Monotonic now);
  void HandleOne(const LinkDown& message, Monotonic now);

  void Connect(Monotonic now);
  void Beat(Monotonic now);
  void StartProof(uint64_t ticket);
  void Report(uint64_t generation, const absl::Status& result);
  void SendStatus();
  void SendEvents();
  void SendUnacknowledged();
  absl::Duration WaitAfter(const LinkDown& down, Monotonic now);
  ObservedState Observe();
  Capabilities CapabilitiesNow() const;

  UplinkParts parts_;
  Backoff backoff_;
  State state_ = State::kWaiting;
  bool stopping_ = false;
  Monotonic deadline_ = absl::ZeroDuration();  // of what comes next in this state
  Monotonic connected_at_ = absl::ZeroDuration();
  Monotonic last_heard_ = absl::ZeroDuration();
  absl::Duration interval_ = absl::Seconds(30);
  uint64_t heartbeats_ = 0;
  std::vector<ResolvedHost> saved_addresses_;
  std::vector<ResolvedHost> hosts_;  // pinned in the kernel
  Credentials credentials_;          // of the last connection
  std::optional<PolicyStatusMessage> unsent_status_;
  int proofs_again_ = 0;  // of the trial's present step
  std::string last_refusal_;
  std::string description_ = "not connected yet";
};

}  // namespace bulkhead::sensor
