// A control plane in this process that answers as the test tells it, and remembers what it was asked.
#include "unit/cli/fake_services.h"

#include "absl/time/clock.h"
#include "controlplane/domain/audit_chain.h"

namespace bulkhead::controlplane::cli::test {

v1::Sensor SyncedSensor() {
  v1::Sensor sensor;
  sensor.set_id(kSensorId);
  sensor.set_name("web-1");
  sensor.set_trust(v1::TRUST_TRUSTED);
  sensor.set_health(v1::HEALTH_HEALTHY);
  sensor.set_connected(true);
  sensor.set_is_contained(true);
  sensor.set_desired_generation(7);
  sensor.set_convergence(v1::CONVERGENCE_STATE_SYNCED);
  sensor.mutable_last_heartbeat_at()->set_seconds(1'767'225'595);
  sensor.mutable_observed_at()->set_seconds(1'767'225'595);
  sensor.set_etag("e7");
  (*sensor.mutable_labels())["env"] = "prod";
  v1::ObservedState& observed = *sensor.mutable_observed();
  observed.set_contained(true);
  observed.mutable_receipt()->set_generation(7);
  observed.mutable_receipt()->set_apply_micros(310);
  observed.mutable_receipt()->set_sockets_destroyed(2);
  return sensor;
}

v1::Rollout RunningRollout() {
  v1::Rollout rollout;
  rollout.set_id(kRolloutId);
  rollout.set_state(v1::ROLLOUT_STATE_RUNNING);
  rollout.mutable_order()->mutable_contain();
  rollout.mutable_limits()->set_max_in_flight(50);
  rollout.mutable_limits()->set_max_failures(1);
  rollout.mutable_limits()->set_enforce_within_seconds(60);
  rollout.set_label_selector("env=prod");
  rollout.set_pending(10);
  rollout.set_created_by("olga");
  rollout.mutable_created_at()->set_seconds(1'767'225'590);
  return rollout;
}

grpc::Status FakeSensors::ListSensors(grpc::ServerContext*, const v1::ListSensorsRequest* request,
                                      v1::ListSensorsResponse* response) {
  list = *request;
  // Two pages, so that a client that forgets the second is caught.
  v1::Sensor sensor = SyncedSensor();
  if (request->page_token() == "second") {
    sensor.set_name("web-2");
  } else {
    response->set_next_page_token("second");
  }
  *response->add_sensors() = sensor;
  return answer;
}

grpc::Status FakeSensors::GetSensor(grpc::ServerContext*, const v1::GetSensorRequest*,
                                    v1::GetSensorResponse* response) {
  *response->mutable_sensor() = SyncedSensor();
  for (const v1::ObservedPolicy& policy : observed) {
    *response->mutable_sensor()->mutable_observed()->add_policies() = policy;
  }
  return answer;
}

grpc::Status FakeSensors::WatchSensors(grpc::ServerContext* context, const v1::WatchSensorsRequest* request,
                                       grpc::ServerWriter<v1::WatchSensorsResponse>* writer) {
  watches.push_back(*request);
  for (const v1::Sensor& sensor : watched) {
    v1::WatchSensorsResponse change;
    *change.mutable_sensor() = sensor;
    change.set_resume_token("after " + sensor.name());
    writer->Write(change);
  }
  if (!watch_ends.empty()) {
    v1::WatchSensorsResponse bookmark;
    bookmark.set_bookmark(true);
    bookmark.set_resume_token("bookmark");
    writer->Write(bookmark);
    const grpc::Status end = watch_ends.front();
    watch_ends.erase(watch_ends.begin());
    return end;
  }
  while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(2));
  return grpc::Status::CANCELLED;
}

grpc::Status FakeSensors::ContainSensor(grpc::ServerContext*, const v1::ContainSensorRequest* request,
                                        v1::ContainSensorResponse* response) {
  contain = *request;
  v1::Sensor sensor = SyncedSensor();
  sensor.set_convergence(v1::CONVERGENCE_STATE_PENDING);
  sensor.mutable_observed()->mutable_receipt()->set_generation(6);
  *response->mutable_sensor() = sensor;
  response->mutable_policy()->set_id(kPolicyId);
  response->mutable_policy()->set_name("network-containment");
  return answer;
}

grpc::Status FakeSensors::BlockBinary(grpc::ServerContext*, const v1::BlockBinaryRequest* request,
                                      v1::BlockBinaryResponse* response) {
  block = *request;
  *response->mutable_sensor() = SyncedSensor();
  response->mutable_policy()->set_id(kPolicyId);
  return answer;
}

grpc::Status FakeSensors::SetAllowList(grpc::ServerContext*, const v1::SetAllowListRequest* request,
                                       v1::SetAllowListResponse* response) {
  allow_list = *request;
  *response->mutable_sensor() = SyncedSensor();
  response->mutable_policy()->set_id(kPolicyId);
  *response->mutable_policy()->mutable_allow_list() = request->allow_list();
  return answer;
}

grpc::Status FakeSensors::KillProcess(grpc::ServerContext*, const v1::KillProcessRequest* request,
                                      v1::KillProcessResponse* response) {
  kill = *request;
  response->mutable_command()->set_id(kCommandId);
  response->mutable_command()->set_state(v1::COMMAND_STATE_QUEUED);
  return answer;
}

grpc::Status FakeSensors::KillProcesses(grpc::ServerContext*, const v1::KillProcessesRequest* request,
                                        v1::KillProcessesResponse* response) {
  kill_group = *request;
  response->mutable_command()->set_id(kCommandId);
  response->mutable_command()->set_state(v1::COMMAND_STATE_QUEUED);
  *response->mutable_command()->mutable_kill_group() = request->group();
  return answer;
}

grpc::Status FakeSensors::LowerGuard(grpc::ServerContext*, const v1::LowerGuardRequest* request,
                                     v1::LowerGuardResponse* response) {
  lower = *request;
  response->mutable_command()->set_id(kCommandId);
  response->mutable_command()->set_state(v1::COMMAND_STATE_QUEUED);
  *response->mutable_command()->mutable_lower_guard()->mutable_duration() = request->duration();
  return answer;
}

grpc::Status FakeSensors::CreateGuardCode(grpc::ServerContext*, const v1::CreateGuardCodeRequest*,
                                          v1::CreateGuardCodeResponse* response) {
  response->mutable_command()->set_id(kCommandId);
  response->mutable_command()->mutable_set_guard_code();
  response->set_code("AAAA-BBBB");
  return answer;
}

grpc::Status FakeSensors::GetCommand(grpc::ServerContext*, const v1::GetCommandRequest* request,
                                     v1::GetCommandResponse* response) {
  *response->mutable_command() = finished;
  response->mutable_command()->set_id(request->id());
  if (++gets == 1) response->mutable_command()->set_state(v1::COMMAND_STATE_DELIVERED);
  return answer;
}

grpc::Status FakeSensors::SetSensorLabels(grpc::ServerContext*, const v1::SetSensorLabelsRequest* request,
                                          v1::SetSensorLabelsResponse* response) {
  labels = *request;
  *response->mutable_sensor() = SyncedSensor();
  *response->mutable_sensor()->mutable_labels() = request->labels();
  return answer;
}

grpc::Status FakeSensors::RevokeSensor(grpc::ServerContext*, const v1::RevokeSensorRequest*,
                                       v1::RevokeSensorResponse* response) {
  ++revokes;
  *response->mutable_sensor() = SyncedSensor();
  return answer;
}

grpc::Status FakeRules::CreateIsolationRule(grpc::ServerContext*, const v1::CreateIsolationRuleRequest* request,
                                            v1::CreateIsolationRuleResponse* response) {
  created = *request;
  *response->mutable_rule() = request->rule();
  response->mutable_rule()->set_id(kRuleId);
  response->set_sensors_affected(1);
  return grpc::Status::OK;
}

grpc::Status FakeAudit::ListAuditRecords(grpc::ServerContext*, const v1::ListAuditRecordsRequest* request,
                                         v1::ListAuditRecordsResponse* response) {
  for (int i = 0; i < request->page_size(); ++i) response->add_records()->set_sequence(i + 1);
  response->set_next_page_token("more");
  return grpc::Status::OK;
}

grpc::Status FakeAudit::VerifyAuditLog(grpc::ServerContext*, const v1::VerifyAuditLogRequest*,
                                       v1::VerifyAuditLogResponse* response) {
  *response = verdict;
  return grpc::Status::OK;
}

grpc::Status FakePolicies::GetEnforcementPolicy(grpc::ServerContext*, const v1::GetEnforcementPolicyRequest*,
                                                v1::GetEnforcementPolicyResponse* response) {
  *response->mutable_policy() = found;
  return grpc::Status::OK;
}

grpc::Status FakeTokens::CreateEnrollmentToken(grpc::ServerContext*, const v1::CreateEnrollmentTokenRequest* request,
                                               v1::CreateEnrollmentTokenResponse* response) {
  created = *request;
  response->mutable_token()->set_id("t1");
  response->set_secret("s3cret");
  return grpc::Status::OK;
}

void FakeAudit::FillLog(uint64_t length) {
  std::string previous = AuditGenesisHash();
  for (uint64_t i = 1; i <= length; ++i) {
    v1::AuditRecord& record = log.emplace_back();
    record.set_sequence(i);
    record.set_actor("olga");
    record.set_previous_hash(previous);
    AuditRecord same;
    same.sequence = i;
    same.time = absl::UnixEpoch();
    same.actor = "olga";
    record.set_hash(previous = AuditRecordHash(previous, same));
  }
}

grpc::Status FakeAudit::ExportAuditRecords(grpc::ServerContext*, const v1::ExportAuditRecordsRequest* request,
                                           v1::ExportAuditRecordsResponse* response) {
  for (const v1::AuditRecord& record : log) {
    if (record.sequence() < request->from_sequence() || record.sequence() > request->to_sequence()) continue;
    if (response->records_size() == request->page_size()) {
      response->set_next_sequence(record.sequence());
      break;
    }
    *response->add_records() = record;
  }
  return grpc::Status::OK;
}

grpc::Status FakeAudit::GetAuditHead(grpc::ServerContext*, const v1::GetAuditHeadRequest*,
                                     v1::GetAuditHeadResponse* response) {
  response->set_sequence(log.size());
  response->set_hash(log.empty() ? AuditGenesisHash() : log.back().hash());
  return grpc::Status::OK;
}

grpc::Status FakeEvents::ListEvents(grpc::ServerContext*, const v1::ListEventsRequest* request,
                                    v1::ListEventsResponse* response) {
  listed = *request;
  const size_t first = request->page_token().empty() ? 0 : 1;
  // One a page.
  if (first < stored.size()) *response->add_events() = stored[first];
  if (first + 1 < stored.size()) response->set_next_page_token("more");
  return grpc::Status::OK;
}

grpc::Status FakeEvents::WatchEvents(grpc::ServerContext*, const v1::WatchEventsRequest* request,
                                     grpc::ServerWriter<v1::WatchEventsResponse>* writer) {
  watched.push_back(*request);
  for (const v1::StoredEvent& event : stored) {
    v1::WatchEventsResponse change;
    *change.mutable_event() = event;
    change.set_resume_token("token-" + std::to_string(event.event().sequence()));
    writer->Write(change);
  }
  const grpc::Status end = ends.front();
  ends.erase(ends.begin());
  return end;
}

grpc::Status FakeEvents::ListEventCounts(grpc::ServerContext*, const v1::ListEventCountsRequest*,
                                         v1::ListEventCountsResponse* response) {
  v1::EventCount& count = *response->add_counts();
  count.set_day("2026-01-01");
  count.set_sensor_name("web-1");
  count.set_refused(17);
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::CreateRollout(grpc::ServerContext*, const v1::CreateRolloutRequest* request,
                                         v1::CreateRolloutResponse* response) {
  created = *request;
  *response->mutable_rollout() = RunningRollout();
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::GetRollout(grpc::ServerContext*, const v1::GetRolloutRequest*,
                                      v1::GetRolloutResponse* response) {
  *response->mutable_rollout() = RunningRollout();
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::ListRollouts(grpc::ServerContext*, const v1::ListRolloutsRequest*,
                                        v1::ListRolloutsResponse* response) {
  *response->add_rollouts() = RunningRollout();
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::ListRolloutTargets(grpc::ServerContext*, const v1::ListRolloutTargetsRequest* request,
                                              v1::ListRolloutTargetsResponse* response) {
  listed = *request;
  v1::RolloutTarget& target = *response->add_targets();
  target.set_sensor_name("web-1");
  target.set_state(v1::ROLLOUT_TARGET_STATE_FAILED);
  target.set_message("no such\x1b[31m hook");
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::WatchRollout(grpc::ServerContext*, const v1::WatchRolloutRequest*,
                                        grpc::ServerWriter<v1::WatchRolloutResponse>* writer) {
  ++watches;
  for (const v1::Rollout& rollout : watched) {
    v1::WatchRolloutResponse change;
    *change.mutable_rollout() = rollout;
    writer->Write(change);
  }
  return watch_end;
}

grpc::Status FakeRollouts::CancelRollout(grpc::ServerContext*, const v1::CancelRolloutRequest* request,
                                         v1::CancelRolloutResponse* response) {
  cancelled = *request;
  *response->mutable_rollout() = RunningRollout();
  response->mutable_rollout()->set_state(v1::ROLLOUT_STATE_CANCELLED);
  return grpc::Status::OK;
}

grpc::Status FakeRollouts::ResumeRollout(grpc::ServerContext*, const v1::ResumeRolloutRequest*,
                                         v1::ResumeRolloutResponse* response) {
  *response->mutable_rollout() = RunningRollout();
  return grpc::Status::OK;
}

Cli::Cli() {
  grpc::ServerBuilder builder;
  builder.RegisterService(&sensors)
      .RegisterService(&rules)
      .RegisterService(&policies)
      .RegisterService(&audit)
      .RegisterService(&events)
      .RegisterService(&tokens)
      .RegisterService(&rollouts);
  server_ = builder.BuildAndStart();
}

Cli::~Cli() {
  server_->Shutdown(std::chrono::system_clock::now());
}

int Cli::Run(const std::vector<std::string>& args, bool interactive, const std::string& typed) {
  std::istringstream in(typed);
  std::ostringstream out_stream;
  std::ostringstream err_stream;
  const FixedClock clock;
  Terminal terminal{in, out_stream, err_stream, interactive, clock};
  const int code = RunCli(args, terminal, [this](ConnectionOptions& options) {
    options.server = "bulkhead.example.org:7443";
    return absl::StatusOr<std::shared_ptr<grpc::Channel>>(server_->InProcessChannel(grpc::ChannelArguments()));
  });
  out = out_stream.str();
  err = err_stream.str();
  return code;
}

}  // namespace bulkhead::controlplane::cli::test
