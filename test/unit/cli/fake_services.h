// A control plane in this process that answers as the test tells it, and remembers what it was asked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "bulkhead/v1/audit.grpc.pb.h"
#include "bulkhead/v1/enrollment.grpc.pb.h"
#include "bulkhead/v1/event_service.grpc.pb.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "common/clock.h"
#include "controlplane/cli/cli.h"

namespace bulkhead::controlplane::cli::test {

inline constexpr char kSensorId[] = "11111111-1111-4111-8111-111111111111";
inline constexpr char kPolicyId[] = "22222222-2222-4222-8222-222222222222";
inline constexpr char kCommandId[] = "33333333-3333-4333-8333-333333333333";
inline constexpr char kRolloutId[] = "55555555-5555-4555-8555-555555555555";
inline constexpr char kRuleId[] = "44444444-4444-4444-8444-444444444444";

class FixedClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'767'225'600); }  // 2026-01-01T00:00:00Z
};

// A sensor that is connected and whose kernel has generation 7 of 7.
v1::Sensor SyncedSensor();

// A running rollout of 10 sensors.
v1::Rollout RunningRollout();

class FakeSensors : public v1::SensorService::Service {
 public:
  grpc::Status ListSensors(grpc::ServerContext*, const v1::ListSensorsRequest*, v1::ListSensorsResponse*) override;
  grpc::Status GetSensor(grpc::ServerContext*, const v1::GetSensorRequest*, v1::GetSensorResponse*) override;
  grpc::Status WatchSensors(grpc::ServerContext*, const v1::WatchSensorsRequest*,
                            grpc::ServerWriter<v1::WatchSensorsResponse>*) override;
  grpc::Status ContainSensor(grpc::ServerContext*, const v1::ContainSensorRequest*,
                             v1::ContainSensorResponse*) override;
  grpc::Status BlockBinary(grpc::ServerContext*, const v1::BlockBinaryRequest*, v1::BlockBinaryResponse*) override;
  grpc::Status SetAllowList(grpc::ServerContext*, const v1::SetAllowListRequest*, v1::SetAllowListResponse*) override;
  grpc::Status KillProcess(grpc::ServerContext*, const v1::KillProcessRequest*, v1::KillProcessResponse*) override;
  grpc::Status KillProcesses(grpc::ServerContext*, const v1::KillProcessesRequest*,
                             v1::KillProcessesResponse*) override;
  grpc::Status LowerGuard(grpc::ServerContext*, const v1::LowerGuardRequest*, v1::LowerGuardResponse*) override;
  grpc::Status CreateGuardCode(grpc::ServerContext*, const v1::CreateGuardCodeRequest*,
                               v1::CreateGuardCodeResponse*) override;
  grpc::Status GetCommand(grpc::ServerContext*, const v1::GetCommandRequest*, v1::GetCommandResponse*) override;
  grpc::Status SetSensorLabels(grpc::ServerContext*, const v1::SetSensorLabelsRequest*,
                               v1::SetSensorLabelsResponse*) override;
  grpc::Status RevokeSensor(grpc::ServerContext*, const v1::RevokeSensorRequest*, v1::RevokeSensorResponse*) override;

  // Set before the call.
  grpc::Status answer = grpc::Status::OK;
  std::vector<v1::Sensor> watched;           // what WatchSensors sends, with tokens, before it ends
  std::vector<grpc::Status> watch_ends;      // how, one for each call; none left: it waits for the client to go
  std::vector<v1::ObservedPolicy> observed;  // of the sensor that GetSensor answers with
  v1::Command finished;                      // what GetCommand answers from the second call on

  // Read after the call.
  v1::ContainSensorRequest contain;
  v1::BlockBinaryRequest block;
  v1::SetAllowListRequest allow_list;
  v1::KillProcessRequest kill;
  v1::KillProcessesRequest kill_group;
  v1::LowerGuardRequest lower;
  v1::ListSensorsRequest list;
  v1::SetSensorLabelsRequest labels;
  std::vector<v1::WatchSensorsRequest> watches;
  int revokes = 0;
  int gets = 0;
};

class FakeRules : public v1::IsolationRuleService::Service {
 public:
  grpc::Status CreateIsolationRule(grpc::ServerContext*, const v1::CreateIsolationRuleRequest*,
                                   v1::CreateIsolationRuleResponse*) override;
  v1::CreateIsolationRuleRequest created;
};

class FakePolicies : public v1::PolicyService::Service {
 public:
  grpc::Status GetEnforcementPolicy(grpc::ServerContext*, const v1::GetEnforcementPolicyRequest*,
                                    v1::GetEnforcementPolicyResponse*) override;
  v1::EnforcementPolicy found;
};

class FakeAudit : public v1::AuditService::Service {
 public:
  grpc::Status ListAuditRecords(grpc::ServerContext*, const v1::ListAuditRecordsRequest*,
                                v1::ListAuditRecordsResponse*) override;
  grpc::Status VerifyAuditLog(grpc::ServerContext*, const v1::VerifyAuditLogRequest*,
                              v1::VerifyAuditLogResponse*) override;
  grpc::Status ExportAuditRecords(grpc::ServerContext*, const v1::ExportAuditRecordsRequest*,
                                  v1::ExportAuditRecordsResponse*) override;
  grpc::Status GetAuditHead(grpc::ServerContext*, const v1::GetAuditHeadRequest*, v1::GetAuditHeadResponse*) override;
  // Makes records 1 to `length` with their hashes.
  void FillLog(uint64_t length);

  v1::VerifyAuditLogResponse verdict;
  std::vector<v1::AuditRecord> log;
};

class FakeEvents : public v1::EventService::Service {
 public:
  grpc::Status ListEvents(grpc::ServerContext*, const v1::ListEventsRequest*, v1::ListEventsResponse*) override;
  grpc::Status WatchEvents(grpc::ServerContext*, const v1::WatchEventsRequest*,
                           grpc::ServerWriter<v1::WatchEventsResponse>*) override;
  grpc::Status ListEventCounts(grpc::ServerContext*, const v1::ListEventCountsRequest*,
                               v1::ListEventCountsResponse*) override;

  // Set before the call.
  std::vector<v1::StoredEvent> stored;
  std::vector<grpc::Status> ends;  // of each watch, in order

  // Read after the call.
  v1::ListEventsRequest listed;
  std::vector<v1::WatchEventsRequest> watched;
};

class FakeTokens : public v1::EnrollmentService::Service {
 public:
  grpc::Status CreateEnrollmentToken(grpc::ServerContext*, const v1::CreateEnrollmentTokenRequest*,
                                     v1::CreateEnrollmentTokenResponse*) override;
  v1::CreateEnrollmentTokenRequest created;
};

class FakeRollouts : public v1::RolloutService::Service {
 public:
  grpc::Status CreateRollout(grpc::ServerContext*, const v1::CreateRolloutRequest*,
                             v1::CreateRolloutResponse*) override;
  grpc::Status GetRollout(grpc::ServerContext*, const v1::GetRolloutRequest*, v1::GetRolloutResponse*) override;
  grpc::Status ListRollouts(grpc::ServerContext*, const v1::ListRolloutsRequest*, v1::ListRolloutsResponse*) override;
  grpc::Status ListRolloutTargets(grpc::ServerContext*, const v1::ListRolloutTargetsRequest*,
                                  v1::ListRolloutTargetsResponse*) override;
  grpc::Status WatchRollout(grpc::ServerContext*, const v1::WatchRolloutRequest*,
                            grpc::ServerWriter<v1::WatchRolloutResponse>*) override;
  grpc::Status CancelRollout(grpc::ServerContext*, const v1::CancelRolloutRequest*,
                             v1::CancelRolloutResponse*) override;
  grpc::Status ResumeRollout(grpc::ServerContext*, const v1::ResumeRolloutRequest*,
                             v1::ResumeRolloutResponse*) override;

  // Set before the call: what a watch sends, in order, before its stream ends with `watch_end`.
  std::vector<v1::Rollout> watched;
  grpc::Status watch_end = grpc::Status::OK;

  // Read after the call.
  v1::CreateRolloutRequest created;
  v1::ListRolloutTargetsRequest listed;
  v1::CancelRolloutRequest cancelled;
  int watches = 0;
};

// The fakes behind a server in this process, and bulkheadctl in front of it.
class Cli {
 public:
  Cli();
  ~Cli();

  // Runs bulkheadctl with these arguments; `typed` is what a person types when `interactive`.
  int Run(const std::vector<std::string>& args, bool interactive = false, const std::string& typed = "");

  std::string out;
  std::string err;
  FakeSensors sensors;
  FakeRules rules;
  FakePolicies policies;
  FakeAudit audit;
  FakeEvents events;
  FakeTokens tokens;
  FakeRollouts rollouts;

 private:
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace bulkhead::controlplane::cli::test
