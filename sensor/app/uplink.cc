// The conversation with the control plane.
#include "sensor/app/uplink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace bulkhead::sensor {
namespace {

// Dialling every address takes at most 10 s each; this bounds an attempt that hangs after that.
constexpr absl::Duration kAttemptTimeout = absl::Seconds(60);
// A control plane that is silent for this many heartbeats is gone, whatever TCP thinks.
constexpr int kSilentIntervals = 3;
// A proof that somebody disturbed is repeated so often at most.
constexpr int kMostProofsAgain = 50;

// Refusals that no retry can cure: a person has to enroll the host again.
bool NeedsEnrollment(const std::string& reason) {
  return reason == "SENSOR_REVOKED" || reason == "SENSOR_DELETED" || absl::StartsWith(reason, "CERTIFICATE_");
}

}  // namespace

Uplink::Uplink(UplinkParts parts) : parts_(std::move(parts)), backoff_(parts_.uniform) {
  parts_.enforcer->StartProofsWith([this](uint64_t ticket) {
    proofs_again_ = 0;
    StartProof(ticket);
  });
}

void Uplink::Handle(LinkMessage message, Monotonic now) {
  last_heard_ = now;
  std::visit([this, now](const auto& one) { HandleOne(one, now); }, message);
}

void Uplink::OnTime(Monotonic now) {
  if (state_ == State::kConnected) {
    if (unsent_status_.has_value()) SendStatus();
    SendEvents();
    if (now - last_heard_ > kSilentIntervals * interval_) {
      parts_.link->Close(absl::DeadlineExceededError("the control plane did not answer three heartbeats"));
    }
    if (std::optional<std::string> csr = parts_.renewer->RequestIfDue(parts_.clock->Now()); csr.has_value()) {
      parts_.link->Send(RenewCertificateMessage{*std::move(csr)});
    }
  }
  // After a refusal the wait is long; a host that was enrolled again need not sit it out.
  if (state_ == State::kWaiting && NeedsEnrollment(last_refusal_) && parts_.renewer->EnrolledAnew()) deadline_ = now;
  if (now < deadline_) return;
  switch (state_) {
    case State::kWaiting:
      if (!stopping_) Connect(now);
      return;
    case State::kConnecting:
      deadline_ = absl::InfiniteDuration();
      parts_.link->Close(absl::DeadlineExceededError("the control plane did not answer within 60 s"));
      return;
    case State::kConnected:
      Beat(now);
      return;
  }
}

void Uplink::KillEnded(KillDone done) {
  const CommandResultMessage result = parts_.commands->Finish(std::move(done));
  if (state_ == State::kConnected) parts_.link->Send(result);
}

void Uplink::ObservedChanged(Monotonic now) {
  if (state_ == State::kConnected) Beat(now);
}

void Uplink::Stop() {
  stopping_ = true;
  if (state_ == State::kConnected) {
    parts_.link->Send(GoodbyeMessage{"the sensor is stopping; enforcement stays"});
  } else if (state_ == State::kConnecting) {
    parts_.link->Close(absl::CancelledError("the sensor is stopping"));
  }
}

void Uplink::Connect(Monotonic now) {
  state_ = State::kConnecting;
  deadline_ = now + kAttemptTimeout;
  credentials_ = parts_.renewer->ForNextConnection();
  parts_.facts.sensor_id = parts_.renewer->sensor_id();
  parts_.link->Connect(credentials_);
}

// The wall is opened for the control plane's addresses before the first packet goes there.
void Uplink::HandleOne(const LinkResolved& message, Monotonic) {
  // Names were looked up, so the libraries for that are loaded.
  parts_.guard->EnableOnce();
  const std::vector<ControlPlaneEndpoint> endpoints = EndpointsOf(message.hosts);
  if (endpoints.empty()) return;
  if (const absl::Status status = parts_.datapath->SetControlPlane(endpoints); status.ok()) {
    parts_.facts.control_plane_known = true;
  } else {
    LogError("control plane's addresses could not be pinned in the kernel", {{"error", status.message()}});
  }
  if (message.hosts != hosts_) parts_.enforcer->AddressesChanged();
  hosts_ = message.hosts;
  parts_.enforcer->ResumeTrial();
  if (message.hosts != saved_addresses_) {
    const absl::Status saved = parts_.addresses->Save(message.hosts);
    if (saved.ok()) saved_addresses_ = message.hosts;
    if (!saved.ok()) LogError("control plane's addresses were not stored", {{"error", saved.message()}});
  }
  parts_.link->Open(HelloMessage{parts_.host, CapabilitiesNow(), Observe(), parts_.events->run_id()});
}

void Uplink::HandleOne(const LinkWelcome& message, Monotonic now) {
  state_ = State::kConnected;
  connected_at_ = now;
  interval_ = message.heartbeat_interval;
  heartbeats_ = 0;
  last_refusal_.clear();
  // A whole interval of jitter once: after a restart of the control plane the fleet does not beat in step.
  deadline_ = now + interval_ * parts_.uniform();
  parts_.renewer->Accepted();
  parts_.enforcer->Reached(message.address);
  description_ = absl::StrCat("connected to ", message.address);
  LogInfo("connected", {{"control_plane", message.address}, {"replica", message.replica_id}});
  SendUnacknowledged();
}

void Uplink::HandleOne(const LinkDesiredState& message, Monotonic) {
  if (message.renew_certificate) parts_.renewer->RenewSoon();
  if (message.unchanged) return;
  const absl::Status accepted =
      message.state.ok() ? parts_.enforcer->Accept(*message.state, parts_.facts) : message.state.status();
  if (!accepted.ok() || !parts_.enforcer->on_trial()) Report(message.generation, accepted);
}

void Uplink::StartProof(uint64_t ticket) {
  parts_.guard->GoHome();
  parts_.proofs->Start(ticket, hosts_, credentials_);
}

void Uplink::ProofEnded(const ProofDone& done) {
  // While root has the sensor in another cgroup, the wall refuses its sockets: that says nothing about the wall.
  const bool refused = done.proof.seen == Reachability::kRefusedHere;
  if (refused && parts_.guard->GoHome() && proofs_again_++ < kMostProofsAgain) return StartProof(done.ticket);
  const std::optional<Enforcer::TrialEnd> end = parts_.enforcer->ProofEnded(done);
  if (end.has_value()) Report(end->generation, end->status);
}

void Uplink::Report(uint64_t generation, const absl::Status& result) {
  if (result.ok()) {
    LogInfo("desired state is in force", {{"generation", generation}});
  } else {
    LogError("desired state was refused", {{"generation", generation}, {"error", result.message()}});
  }
  unsent_status_ = PolicyStatusMessage{generation, result.ok(), std::string(result.message()), Observe()};
  if (state_ == State::kConnected) SendStatus();
}

void Uplink::HandleOne(const LinkCommand& message, Monotonic now) {
  const std::optional<CommandResultMessage> answer =
      parts_.commands->Take(message, parts_.facts.sensor_id, parts_.clock->Now());
  if (!answer.has_value()) return;
  parts_.link->Send(*answer);
  if (answer->kind == CommandKind::kGuard) Beat(now);
}

void Uplink::HandleOne(const LinkCommandAck& message, Monotonic) {
  parts_.commands->Acknowledge(message.id);
}

void Uplink::HandleOne(const LinkEventAck& message, Monotonic) {
  parts_.events->Acknowledge(message.through_sequence);
}

void Uplink::HandleOne(const LinkCertificateIssued& message, Monotonic now) {
  const absl::Status status = parts_.renewer->Issued(message.chain_pem, message.trust_bundle_pem);
  if (status.ok()) {
    LogInfo("certificate renewed; it is used from the next connection on",
            {{"not_after", absl::FormatTime(parts_.renewer->not_after())}});
    Beat(now);  // confirms it
  } else {
    LogError("renewed certificate is not used", {{"error", status.message()}});
  }
}

void Uplink::HandleOne(const LinkDown& message, Monotonic now) {
  const absl::Duration wait = WaitAfter(message, now);
  state_ = State::kWaiting;
  deadline_ = now + std::max(wait, message.retry_after);
  unsent_status_.reset();
  parts_.events->Rewind();
  parts_.renewer->ConnectionLost();
  description_ = absl::StrCat("not connected: ", message.status.message());
  const bool first_time = !NeedsEnrollment(message.reason) || message.reason != last_refusal_;
  last_refusal_ = message.reason;
  if (!first_time) return;
  LogWarning(NeedsEnrollment(message.reason) ? "identity refused; enforcement stays as it is, enroll this host again"
                                             : "no connection to the control plane",
             {{"error", message.status.ToString()},
              {"reason", message.reason},
              {"retry_in", absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1)))}});
}

absl::Duration Uplink::WaitAfter(const LinkDown& down, Monotonic now) {
  if (state_ != State::kConnected) parts_.renewer->Refused(down.reason);
  const bool has_newer = down.reason == "CERTIFICATE_SUPERSEDED" && parts_.renewer->HasNext();
  if (NeedsEnrollment(down.reason) && !has_newer) return backoff_.AfterRefusal();
  return state_ == State::kConnected ? backoff_.AfterSession(now - connected_at_) : backoff_.AfterFailure();
}

void Uplink::Beat(Monotonic now) {
  parts_.link->Send(
      HeartbeatMessage{++heartbeats_, Observe(), parts_.events->dropped(), parts_.renewer->stored_serial()});
  deadline_ = now + interval_;
  SendUnacknowledged();
}

void Uplink::SendStatus() {
  if (parts_.link->Send(*unsent_status_)) unsent_status_.reset();
}

void Uplink::SendEvents() {
  for (;;) {
    std::vector<NumberedEvent> events = parts_.events->TakeUnsent(kMaxEventsPerBatch);
    if (events.empty()) return;
    if (!parts_.link->Send(EventBatchMessage{std::move(events)})) {
      parts_.events->Rewind();
      return;
    }
  }
}

void Uplink::SendUnacknowledged() {
  for (const CommandResultMessage& result : parts_.commands->Unacknowledged()) {
    if (!parts_.link->Send(result)) return;
  }
}

ObservedState Uplink::Observe() {
  ObservedState observed = parts_.enforcer->Observe();
  if (!parts_.commands->problem().empty()) observed.degraded.push_back(parts_.commands->problem());
  parts_.guard->AddTo(&observed);
  return observed;
}

Capabilities Uplink::CapabilitiesNow() const {
  Capabilities out = parts_.datapath->capabilities();
  if (std::optional<Mechanism> guard = parts_.guard->mechanism(); guard.has_value()) {
    out.mechanisms.push_back(*std::move(guard));
  }
  if (parts_.enforcer->demands_signatures()) out.mechanisms.push_back({"order_signatures", true, ""});
  return out;
}

}  // namespace bulkhead::sensor
