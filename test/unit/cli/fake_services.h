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
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "common/clock.h"
#include "controlplane/cli/cli.h"

namespace bulkhead::controlplane::cli::test {

inline constexpr char kSensorId[] = "11111111-1111-4111-8111-111111111111";
inline constexpr char kPolicyId[] = "22222222-2222-4222-8222-222222222222";
inline constexpr char kCommandId[] = "33333333-3333-4333-8333-333333333333";
inline constexpr char kRuleId[] = "44444444-4444-4444-8444-444444444444";

class FixedClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'767'225'600); }  // 2026-01-01T00:00:00Z
};

// A sensor that is connected and whose kernel has generation 7 of 7.
v1::Sensor SyncedSensor();

class FakeSensors : public v1::SensorService::Service {
 public:
  grpc::Status ListSensors(grpc::ServerContext*, const v1::ListSensorsRequest*, v1::ListSensorsResponse*) override;
  grpc::Status GetSensor(grpc::ServerContext*, const v1::GetSensorRequest*, v1::GetSensorResponse*) override;
  grpc::Status WatchSensors(grpc::ServerContext*, const v1::WatchSensorsRequest*,
                            grpc::ServerWriter<v1::WatchSensorsResponse>*) override;
  grpc::Status ContainSensor(grpc::ServerContext*, const v1::ContainSensorRequest*,
                             v1::ContainSensorResponse*) override;
  grpc::Status BlockBinary(grpc::ServerContext*, const v1::BlockBinaryRequest*, v1::BlockBinaryResponse*) override;
  grpc::Status KillProcess(grpc::ServerContext*, const v1::KillProcessRequest*, v1::KillProcessResponse*) override;
  grpc::Status KillProcesses(grpc::ServerContext*, const v1::KillProcessesRequest*,
                             v1::KillProcessesResponse*) override;
  grpc::Status LowerGuard(grpc::ServerContext*, const v1::LowerGuardRequest*, v1::LowerGuardResponse*) override;
  grpc::Status CreateGuardCode(grpc::ServerContext*, const v1::CreateGuardCodeRequest*,
                               v1::CreateGuardCodeResponse*) override;
  grpc::Status GetCommand(grpc::ServerContext*, const v1::GetCommandRequest*, v1::GetCommandResponse*) override;
  grpc::Status RevokeSensor(grpc::ServerContext*, const v1::RevokeSensorRequest*, v1::RevokeSensorResponse*) override;

  // Set before the call.
  grpc::Status answer = grpc::Status::OK;
  std::vector<v1::Sensor> watched;  // what WatchSensors sends before it waits for the client to go
  v1::Command finished;             // what GetCommand answers from the second call on

  // Read after the call.
  v1::ContainSensorRequest contain;
  v1::BlockBinaryRequest block;
  v1::KillProcessRequest kill;
  v1::KillProcessesRequest kill_group;
  v1::LowerGuardRequest lower;
  int revokes = 0;
  int gets = 0;
};

class FakeRules : public v1::IsolationRuleService::Service {
 public:
  grpc::Status CreateIsolationRule(grpc::ServerContext*, const v1::CreateIsolationRuleRequest*,
                                   v1::CreateIsolationRuleResponse*) override;
  v1::CreateIsolationRuleRequest created;
};

class FakeAudit : public v1::AuditService::Service {
 public:
  grpc::Status ListAuditRecords(grpc::ServerContext*, const v1::ListAuditRecordsRequest*,
                                v1::ListAuditRecordsResponse*) override;
  grpc::Status VerifyAuditLog(grpc::ServerContext*, const v1::VerifyAuditLogRequest*,
                              v1::VerifyAuditLogResponse*) override;
  v1::VerifyAuditLogResponse verdict;
};

class FakeTokens : public v1::EnrollmentService::Service {
 public:
  grpc::Status CreateEnrollmentToken(grpc::ServerContext*, const v1::CreateEnrollmentTokenRequest*,
                                     v1::CreateEnrollmentTokenResponse*) override;
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
  FakeAudit audit;
  FakeTokens tokens;

 private:
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace bulkhead::controlplane::cli::test
