// What each message of a sensor does, and what the sensor is sent.
#include "controlplane/link/sensor_session.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/uuid.h"
#include "controlplane/domain/errors.h"
#include "controlplane/link/event_convert.h"
#include "controlplane/link/sensor_hub.h"
#include "controlplane/link/sensor_words.h"
#include "controlplane/rpc/convert.h"
#include "controlplane/rpc/grpc_status.h"

namespace bulkhead::controlplane {
namespace {

constexpr absl::Duration kHelloDeadline = absl::Seconds(10);
// How long a peer may take to read its goodbye: revocation must close a stream within a second.
constexpr absl::Duration kGoodbyeGrace = absl::Milliseconds(500);

// While the database is away.
constexpr absl::Duration kEventRetryInterval = absl::Seconds(2);
// More lines of one batch are counted, not written: a hostile sensor must not fill the log.
constexpr size_t kMaxEventsLogged = 10;

// Give or take a tenth: streams that were opened together must not all end together.
absl::Time EndOfAge(absl::Time opened, absl::Duration age) {
  absl::BitGen random;
  return opened + age * absl::Uniform(random, 0.9, 1.1);
}

std::string NameOf(const v1::ConnectRequest& request) {
  const auto* field = request.GetReflection()->GetOneofFieldDescriptor(request, request.GetDescriptor()->oneof_decl(0));
  return field == nullptr ? "nothing" : field->name();
}

// The database's trouble, not the sensor's. (StreamSuperseded is Aborted too.)
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || (absl::IsAborted(status) && !IsStreamSuperseded(status));
}

// For whatever collects logs.
void LogEvents(const std::string& sensor_id, const std::vector<SensorEvent>& events) {
  for (size_t i = 0; i < std::min(events.size(), kMaxEventsLogged); ++i) {
    const SensorEvent& event = events[i];
    LogInfo("sensor event", {{"sensor", sensor_id},
                             {"sequence", event.sequence},
                             {"kind", v1::EventKind_Name(static_cast<v1::EventKind>(event.kind))},
                             {"policy", event.policy_id},
                             {"pid", event.pid},
                             {"comm", event.comm},
                             {"uid", event.uid},
                             {"parent_pid", event.parent_pid},
                             {"parent_comm", event.parent_comm},
                             {"cgroup", event.cgroup},
                             {"container", event.container},
                             {"detail", event.detail}});
  }
  if (events.size() > kMaxEventsLogged) {
    LogInfo("more sensor events", {{"sensor", sensor_id}, {"count", events.size() - kMaxEventsLogged}});
  }
}

// What is left of a report is what a person or an order may wait for.
SensorReport WithoutBlobs(SensorReport report) {
  report.number = 0;
  report.host_info.clear();
  report.capabilities.clear();
  report.observed.clear();
  return report;
}

}  // namespace

SensorSession::SensorSession(const LinkContext* context, SensorHub* hub, const Caller& caller,
                             std::shared_ptr<StreamSession> stream)
    : context_(context),
      hub_(hub),
      identity_(caller.identity),
      stream_(std::move(stream)),
      opened_at_(context->clock->Now()),
      ends_at_(EndOfAge(opened_at_, context->max_stream_age)),
      strand_(context->workers),
      certificate_(context->store, context->authority, caller) {}

void SensorSession::OnMessage(std::string bytes) {
  {
    absl::MutexLock lock(&mutex_);
    message_ = std::move(bytes);
  }
  Wake();
}

void SensorSession::OnPeerDone() {
  stream_->Close(grpc::Status::OK, context_->clock->Now());
}

void SensorSession::OnEnded() {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  Wake();
}

void SensorSession::Refresh() {
  {
    absl::MutexLock lock(&mutex_);
    refresh_ = true;
  }
  Wake();
}

void SensorSession::End(v1::GoodbyeReason reason, const absl::Status& status) {
  if (stream_->closed()) return;
  v1::ConnectResponse response;
  response.mutable_goodbye()->set_reason(reason);
  response.mutable_goodbye()->set_message(std::string(status.message()));
  Send(response);
  stream_->Close(ToGrpcStatus(status), context_->clock->Now());
}

void SensorSession::Tick() {
  const absl::Time now = context_->clock->Now();
  if (!hello_done_ && now - opened_at_ >= kHelloDeadline) {
    stream_->Close(ToGrpcStatus(absl::InvalidArgumentError("no hello within 10 s of opening the stream")), now);
  }
  if (now >= identity_.not_after) {
    // UNAVAILABLE, so that the sensor reconnects at once: with the certificate that it was renewed to, or to be told in
    // a typed answer that it has none.
    End(v1::GOODBYE_REASON_SHUTDOWN, absl::UnavailableError("this stream's certificate has expired; reconnect with "
                                                            "the one that followed it"));
  } else if (now >= ends_at_) {
    End(v1::GOODBYE_REASON_SHUTDOWN, absl::UnavailableError("this stream has reached its age; reconnect"));
  }
  stream_->EnforceClose(kGoodbyeGrace, now);
  if (events_wait_ && now >= next_event_retry_) {
    next_event_retry_ = now + kEventRetryInterval;
    Wake();
  }
}

void SensorSession::Wake() {
  if (!strand_.Wake([self = shared_from_this()] { self->Step(); })) {
    stream_->Close(
        ToGrpcStatus(absl::ResourceExhaustedError("too many sensor streams have work waiting; reconnect later")),
        context_->clock->Now());
  }
}

void SensorSession::Step() {
  std::optional<std::string> message;
  decltype(collected_) collected;
  bool refresh = false;
  bool ended = false;
  {
    absl::MutexLock lock(&mutex_);
    message.swap(message_);
    collected.swap(collected_);
    std::swap(refresh, refresh_);
    ended = ended_;
  }
  if (ended) return Leave();
  if (collected) {
    if (const absl::Status status = AnswerCollected(collected->first, collected->second); !status.ok()) Fail(status);
  }
  if (unstored_events_) RetryEvents();
  if (message) HandleMessage(*message);
  if (refresh && hello_done_ && !stream_->closed()) {
    if (const absl::Status status = Synchronize(0); !status.ok()) Fail(status);
  }
}

void SensorSession::HandleMessage(const std::string& bytes) {
  v1::ConnectRequest request;
  absl::Status status = ParseLeniently(bytes, &request);
  if (status.ok()) status = Dispatch(request);
  if (!status.ok()) Fail(status);
  // With events that could not be stored the sensor waits: a later batch must not be acknowledged before them.
  if (!unstored_events_) stream_->RequestRead();
}

void SensorSession::RetryEvents() {
  if (stream_->closed()) return;
  const absl::Status status = StoreEvents(*std::exchange(unstored_events_, std::nullopt));
  if (!status.ok()) Fail(status);
  if (!unstored_events_) stream_->RequestRead();
}

absl::Status SensorSession::Dispatch(const v1::ConnectRequest& request) {
  if (!hello_done_ && !request.has_hello()) {
    return absl::InvalidArgumentError(absl::StrCat("the first message must be hello, not ", NameOf(request)));
  }
  switch (request.message_case()) {
    case v1::ConnectRequest::kHello:
      return HandleHello(request.hello());
    case v1::ConnectRequest::kHeartbeat:
      return HandleHeartbeat(request.heartbeat());
    case v1::ConnectRequest::kPolicyStatus:
      return HandlePolicyStatus(request.policy_status());
    case v1::ConnectRequest::kCommandResult:
      return HandleCommandResult(request.command_result());
    case v1::ConnectRequest::kEventBatch:
      return HandleEvents(request.event_batch());
    case v1::ConnectRequest::kRenewCertificate:
      return HandleRenewal(request.renew_certificate());
    case v1::ConnectRequest::kGoodbye:
      LogInfo("sensor says goodbye", {{"sensor", sensor_id()}, {"why", request.goodbye().message()}});
      stream_->Close(grpc::Status::OK, context_->clock->Now());
      return absl::OkStatus();
    case v1::ConnectRequest::MESSAGE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message of a kind that this control plane does not know");
}

absl::Status SensorSession::HandleHello(const v1::Hello& hello) {
  if (hello_done_) return absl::InvalidArgumentError("a second hello on one stream");
  RETURN_IF_ERROR(CheckHello(hello));
  host_ = hello.host();
  capabilities_ = hello.capabilities();
  event_runs_known_ = !hello.run_id().empty();
  event_run_id_ = event_runs_known_ ? hello.run_id() : NewUuid();
  ASSIGN_OR_RETURN(const Ownership owner,
                   context_->store->OpenSession(sensor_id(), context_->run_id, InstanceOf(host_)));
  epoch_ = owner.epoch;
  RETURN_IF_ERROR(
      CheckTrust(StoreReport(hello.observed(), ReportOf(hello.observed(), host_, capabilities_), /*heartbeat=*/false)));
  if (!hub_->Attach(shared_from_this())) return StreamSuperseded();
  v1::ConnectResponse response;
  v1::Welcome& welcome = *response.mutable_welcome();
  welcome.set_heartbeat_interval_seconds(absl::ToInt64Seconds(context_->heartbeat_interval));
  *welcome.mutable_server_time() = ToProto(context_->clock->Now());
  welcome.set_replica_id(context_->replica_id);
  Send(response);
  hello_done_ = true;
  LogInfo("sensor connected",
          {{"sensor", sensor_id()}, {"host", host_.hostname()}, {"kernel", host_.kernel_release()}});
  return Synchronize(0);
}

absl::Status SensorSession::HandleHeartbeat(const v1::Heartbeat& heartbeat) {
  if (heartbeat.sequence() == 0) return InvalidField("heartbeat.sequence", "starts at 1");
  RETURN_IF_ERROR(CheckObserved(heartbeat.observed()));
  RETURN_IF_ERROR(certificate_.Confirmed(heartbeat.stored_certificate()));
  SensorReport report = ReportOf(heartbeat.observed(), host_, capabilities_);
  if (IsPlain(report)) {
    if (context_->observer) context_->observer->OnHeartbeat();
    CountKernelCounters(heartbeat.observed());
    CollectHeartbeat(heartbeat.sequence(), std::move(report.observed));
    return absl::OkStatus();
  }
  return AnswerHeartbeat(heartbeat.sequence(),
                         StoreReport(heartbeat.observed(), std::move(report), /*heartbeat=*/true));
}

bool SensorSession::IsPlain(const SensorReport& report) const {
  return !collecting_ && !enforced_untold_ && report.observed_generation == known_generation_ &&
         report.observed_digest == known_digest_ && WithoutBlobs(report) == last_said_;
}

void SensorSession::CollectHeartbeat(uint64_t sequence, std::string observed) {
  collecting_ = true;
  hub_->heartbeats().Add(
      {.owner = owner(), .number = ++reports_, .observed = std::move(observed), .whole = last_whole_},
      [self = shared_from_this(), sequence](absl::StatusOr<OrderedState> ordered) {
        {
          absl::MutexLock lock(&self->mutex_);
          self->collected_.emplace(sequence, std::move(ordered));
        }
        self->Wake();
      });
}

absl::Status SensorSession::AnswerCollected(uint64_t sequence, const absl::StatusOr<OrderedState>& ordered) {
  collecting_ = false;
  // The batcher has logged it, once for all.
  if (stream_->closed() || IsPassing(ordered.status())) return absl::OkStatus();
  if (IsReportMissing(ordered.status())) {
    LogInfo("the database lost a report; the next heartbeat is stored whole", {{"sensor", sensor_id()}});
    last_said_.reset();
    enforced_generation_ = 0;
    return Synchronize(sequence);
  }
  context_->on_report(sensor_id());
  return AnswerHeartbeat(sequence, ordered);
}

absl::Status SensorSession::AnswerHeartbeat(uint64_t sequence, const absl::StatusOr<OrderedState>& ordered) {
  RETURN_IF_ERROR(CheckTrust(ordered));
  // What nearly every heartbeat is: nothing to say, and one statement was enough to know it.
  if (Knows(*ordered) && !ordered->open_commands) {
    AnswerUnchanged(sequence);
    return absl::OkStatus();
  }
  return Synchronize(sequence);
}

absl::Status SensorSession::HandlePolicyStatus(const v1::PolicyStatus& status) {
  if (status.generation() == 0) return InvalidField("policy_status.generation", "starts at 1");
  RETURN_IF_ERROR(CheckTrust(
      context_->store->RecordPolicyStatus(owner(), status.generation(), status.applied(), status.message())));
  if (!status.applied()) {
    LogWarning("sensor refused a generation",
               {{"sensor", sensor_id()}, {"generation", status.generation()}, {"why", status.message()}});
  }
  const uint64_t sent = known_generation_;
  const std::string sent_digest = known_digest_;
  if (status.has_observed()) {
    RETURN_IF_ERROR(CheckObserved(status.observed()));
    RETURN_IF_ERROR(CheckTrust(
        StoreReport(status.observed(), ReportOf(status.observed(), host_, capabilities_), /*heartbeat=*/false)));
  }
  // A refused generation is not pushed again at once; the next heartbeat, which still differs, offers it again.
  known_generation_ = sent;
  known_digest_ = sent_digest;
  return absl::OkStatus();
}

absl::Status SensorSession::HandleCommandResult(const v1::CommandResult& result) {
  ASSIGN_OR_RETURN(const CommandResult done, result.has_guard_result()        ? FromProto(result.guard_result())
                                             : result.has_kill_group_result() ? FromProto(result.kill_group_result())
                                                                              : FromProto(result.kill_result()));
  const absl::Status stored = context_->store->Run([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(CheckTrust(tx.CheckOwnership(owner(), /*hold=*/true)));
    return tx.FinishCommand(sensor_id(), result.command_id(), done);
  });
  // A result of a command that nobody knows any more is acknowledged all the same, or the sensor would repeat it for
  // ever.
  if (!stored.ok() && !absl::IsNotFound(stored)) return stored;
  LogInfo("command finished", {{"sensor", sensor_id()}, {"command", result.command_id()}, {"result", done.message}});
  v1::ConnectResponse response;
  response.mutable_command_ack()->set_command_id(result.command_id());
  Send(response);
  context_->on_report(sensor_id());
  return absl::OkStatus();
}

absl::Status SensorSession::HandleEvents(const v1::EventBatch& batch) {
  EventBatch events = BatchOf(batch, event_run_id_, event_runs_known_);
  RETURN_IF_ERROR(ValidateEventBatch(events));
  return StoreEvents(std::move(events));
}

absl::Status SensorSession::StoreEvents(EventBatch events) {
  const absl::StatusOr<EventsTaken> taken = context_->store->StoreEvents(owner(), events, context_->event_limit);
  // One that may be stored already is known by its run and sequence when it is stored again.
  if (IsPassing(taken.status()) || absl::IsUnknown(taken.status()) || absl::IsResourceExhausted(taken.status())) {
    unstored_events_ = std::move(events);
    events_wait_ = true;
    LogWarning("events of a sensor wait for the database",
               {{"sensor", sensor_id()}, {"error", taken.status().ToString()}});
    return absl::OkStatus();
  }
  events_wait_ = false;
  RETURN_IF_ERROR(CheckTrust(taken.status()));
  if (taken->lost > 0 || taken->refused > 0) {
    LogWarning("events of a sensor are missing",
               {{"sensor", sensor_id()}, {"lost_by_the_host", taken->lost}, {"over_the_days_limit", taken->refused}});
  }
  v1::ConnectResponse response;
  response.mutable_event_ack()->set_through_sequence(events.events.back().sequence);
  Send(response);
  if (taken->stored == 0) return absl::OkStatus();
  LogEvents(sensor_id(), events.events);
  context_->on_events();
  return absl::OkStatus();
}

absl::Status SensorSession::HandleRenewal(const v1::RenewCertificate& renewal) {
  ASSIGN_OR_RETURN(const IssuedCertificate issued,
                   context_->authority->SignSensorRequest(renewal.certificate_request(), sensor_id(),
                                                          context_->clock->Now(), context_->certificate_life));
  RETURN_IF_ERROR(context_->store->Run([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(CheckTrust(tx.CheckOwnership(owner(), /*hold=*/true)));
    return tx.InsertCertificate(issued.RecordFor(sensor_id()));
  }));
  certificate_.Issued(issued);
  v1::ConnectResponse response;
  response.mutable_certificate_issued()->set_certificate_chain_pem(issued.chain_pem);
  response.mutable_certificate_issued()->set_trust_bundle_pem(issued.trust_bundle_pem);
  Send(response);
  LogInfo("certificate renewed", {{"sensor", sensor_id()}, {"serial", issued.serial_hex}});
  return absl::OkStatus();
}

absl::StatusOr<OrderedState> SensorSession::StoreReport(const v1::ObservedState& observed, SensorReport report,
                                                        bool heartbeat) {
  report.number = ++reports_;
  ASSIGN_OR_RETURN(const OrderedState ordered, context_->store->RecordReport(owner(), report, heartbeat));
  known_generation_ = report.observed_generation;
  known_digest_ = report.observed_digest;
  context_->on_report(sensor_id());
  if (heartbeat && context_->observer) context_->observer->OnHeartbeat();
  CountKernelCounters(observed);
  if (Knows(ordered)) RecordEnforced(observed, report);
  last_whole_ = report.number;
  last_said_ = WithoutBlobs(std::move(report));
  return ordered;
}

void SensorSession::RecordEnforced(const v1::ObservedState& observed, const SensorReport& report) {
  // A wall that is not proved yet is not called in force; see AssessConvergence.
  if (enforced_generation_ == known_generation_ || !report.receipt_complete || !report.failed_probe.empty()) return;
  std::vector<std::string> in_force;
  for (const v1::ObservedPolicy& policy : observed.policies()) {
    if (policy.refused().empty() && !policy.expired()) in_force.push_back(policy.policy_id());
  }
  if (!in_force.empty()) {
    const auto enforced = context_->store->RecordEnforced(owner(), known_generation_, known_digest_, in_force);
    enforced_untold_ = !enforced.ok();
    if (!enforced.ok()) {
      // Nothing that matters: the next report tries again.
      return LogWarning("first receipt not noted", {{"sensor", sensor_id()}, {"error", enforced.status().ToString()}});
    }
    for (const NewlyEnforced& policy : *enforced) {
      if (context_->observer) context_->observer->OnEnforced(policy.policy_template, policy.since_order);
    }
  }
  enforced_generation_ = known_generation_;
}

void SensorSession::CountKernelCounters(const v1::ObservedState& observed) {
  uint64_t drops = 0;
  uint64_t failures = 0;
  for (const v1::Counter& counter : observed.counters()) {
    if (absl::StartsWith(counter.name(), "drop_")) drops += counter.value();
    if (absl::StartsWith(counter.name(), "fail_")) failures += counter.value();
  }
  // What was counted before this stream was counted then, here or at another replica. A counter that went back began
  // anew.
  if (counted_ && context_->observer) {
    context_->observer->OnKernelCounters(drops >= drops_ ? drops - drops_ : drops,
                                         failures >= failures_ ? failures - failures_ : failures);
  }
  counted_ = true;
  drops_ = drops;
  failures_ = failures;
}

bool SensorSession::Knows(const OrderedState& ordered) const {
  return ordered.generation == known_generation_ && ordered.digest == known_digest_;
}

void SensorSession::AnswerUnchanged(uint64_t sequence) {
  v1::ConnectResponse response;
  response.mutable_heartbeat_response()->set_sequence(sequence);
  response.mutable_heartbeat_response()->set_unchanged(true);
  response.mutable_heartbeat_response()->set_renew_certificate(certificate_.IsOutdated());
  Send(response);
}

absl::StatusOr<SensorSession::Missing> SensorSession::ReadMissing() {
  Missing missing;
  RETURN_IF_ERROR(context_->store->Run([&](Transaction& tx) -> absl::Status {
    const absl::StatusOr<OrderedState> ordered = tx.CheckOwnership(owner(), /*hold=*/false);
    RETURN_IF_ERROR(CheckTrust(ordered));
    missing = Missing();
    if (!Knows(*ordered)) {
      ASSIGN_OR_RETURN(missing.desired, tx.GetDesiredState(sensor_id()));
    }
    if (!ordered->open_commands) return absl::OkStatus();
    ASSIGN_OR_RETURN(missing.commands, tx.OpenCommands(sensor_id()));
    std::vector<std::string> queued;
    for (const Command& command : missing.commands) {
      if (command.state == CommandState::kQueued) queued.push_back(command.id);
    }
    if (queued.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(tx.CheckOwnership(owner(), /*hold=*/true).status());
    return tx.MarkDelivered(queued);
  }));
  return missing;
}

absl::Status SensorSession::Synchronize(uint64_t sequence) {
  ASSIGN_OR_RETURN(Missing missing, ReadMissing());
  const bool differs = missing.desired.generation != 0;
  if (differs || sequence != 0) {
    v1::ConnectResponse response;
    v1::HeartbeatResponse& answer = *response.mutable_heartbeat_response();
    answer.set_sequence(sequence);
    answer.set_unchanged(!differs);
    answer.set_renew_certificate(certificate_.IsOutdated());
    if (differs) {
      *answer.mutable_desired_state() = ToProto(missing.desired);
      *answer.mutable_desired_state()->mutable_sent_at() = ToProto(context_->clock->Now());
    }
    for (const Command& command : missing.commands) {
      if (command.kind == CommandKind::kKillProcess) answer.add_pending_kill_pids(command.process.pid);
    }
    Send(response);
  }
  if (differs) {
    known_generation_ = missing.desired.generation;
    known_digest_ = missing.desired.digest;
  }
  SendCommands(std::move(missing.commands));
  return absl::OkStatus();
}

void SensorSession::SendCommands(std::vector<Command> open) {
  for (Command& command : open) {
    if (!commands_sent_.insert(command.id).second) continue;
    command.state = CommandState::kDelivered;
    v1::ConnectResponse response;
    *response.mutable_command() = ToProto(command);
    *response.mutable_command()->mutable_sent_at() = ToProto(context_->clock->Now());
    Send(response);
  }
}

absl::Status SensorSession::CheckTrust(const absl::StatusOr<OrderedState>& ordered) const {
  RETURN_IF_ERROR(CheckTrust(ordered.status()));
  return ordered->trust == Trust::kRevoked ? SensorIdentityRevoked(sensor_id()) : absl::OkStatus();
}

absl::Status SensorSession::CheckTrust(const absl::Status& stored) const {
  return absl::IsNotFound(stored) ? SensorIdentityDeleted(sensor_id()) : stored;
}

void SensorSession::Send(const v1::ConnectResponse& response) {
  stream_->Send(response.SerializeAsString());
}

void SensorSession::Fail(const absl::Status& status) {
  if (absl::IsUnauthenticated(status)) {
    LogWarning("stream ended: identity withdrawn", {{"sensor", sensor_id()}, {"why", std::string(status.message())}});
    return End(v1::GOODBYE_REASON_REVOKED, status);
  }
  if (IsStreamSuperseded(status)) {
    LogInfo("stream ended: another replica holds the sensor now", {{"sensor", sensor_id()}});
    return End(v1::GOODBYE_REASON_SUPERSEDED, status);
  }
  // A stream that is up stays up while the database is away: the host goes on enforcing, and the next heartbeat tries
  // again.
  if (hello_done_ && IsPassing(status)) {
    return LogWarning("database did not answer for a sensor", {{"sensor", sensor_id()}, {"error", status.ToString()}});
  }
  LogWarning("stream ended", {{"sensor", sensor_id()}, {"error", status.ToString()}});
  stream_->Close(ToGrpcStatus(status), context_->clock->Now());
}

void SensorSession::Leave() {
  hub_->Detach(this);
  if (epoch_ == 0) return;
  LogInfo("sensor disconnected", {{"sensor", sensor_id()}});
  // At shutdown the end of the replica's lease closes all of them at once.
  const absl::Status status = hub_->shutting_down() ? absl::OkStatus() : context_->store->CloseSession(owner());
  if (!status.ok())
    LogWarning("session not closed in the database", {{"sensor", sensor_id()}, {"error", status.ToString()}});
  epoch_ = 0;
  context_->on_report(sensor_id());
}

}  // namespace bulkhead::controlplane
