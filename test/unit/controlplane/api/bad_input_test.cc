// Bad input through the API: the code, the field that is blamed, and that nothing was done.
#include <catch2/catch.hpp>

#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity sensor = plane.EnrollSensor("web-1");
  std::shared_ptr<grpc::Channel> admin = plane.ConnectAs("admin");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(admin);
  std::unique_ptr<v1::IsolationRuleService::Stub> rules = v1::IsolationRuleService::NewStub(admin);
  std::unique_ptr<v1::EnrollmentService::Stub> enrollment = v1::EnrollmentService::NewStub(plane.Connect());

  grpc::Status Kill(uint32_t pid) {
    v1::KillProcessRequest request;
    request.set_sensor("web-1");
    request.mutable_process()->set_pid(pid);
    v1::KillProcessResponse response;
    return Call(*sensors, &v1::SensorService::Stub::KillProcess, request, &response);
  }
  grpc::Status Block(const std::string& path) {
    v1::BlockBinaryRequest request;
    request.set_sensor("web-1");
    request.mutable_binary()->set_path(path);
    v1::BlockBinaryResponse response;
    return Call(*sensors, &v1::SensorService::Stub::BlockBinary, request, &response);
  }
  grpc::Status AddRule(const v1::IsolationRule& rule) {
    v1::CreateIsolationRuleRequest request;
    *request.mutable_rule() = rule;
    v1::CreateIsolationRuleResponse response;
    return Call(*rules, &v1::IsolationRuleService::Stub::CreateIsolationRule, request, &response);
  }
  grpc::Status Enroll(const std::string& token, const std::string& name, const std::string& csr) {
    v1::EnrollRequest request;
    request.set_token(token);
    request.set_name(name);
    request.set_certificate_request(csr);
    v1::EnrollResponse response;
    return Call(*enrollment, &v1::EnrollmentService::Stub::Enroll, request, &response);
  }
};

TEST_CASE_METHOD(Fixture, "pid 1 and pid 0 are never killed") {
  for (const uint32_t pid : {0u, 1u, 4194305u}) {
    INFO(pid);
    const grpc::Status status = Kill(pid);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK(FieldIn(status) == "process.pid");
  }
  CHECK(ReasonIn(Kill(1)) == "PID_ONE");
  CHECK(plane.database().Value("SELECT count(*) FROM commands") == "0");
}

TEST_CASE_METHOD(Fixture, "a group of processes that names nobody, or badly, is refused with the field") {
  const auto field = [this](const v1::KillGroup& group) {
    v1::KillProcessesRequest request;
    request.set_sensor("web-1");
    *request.mutable_group() = group;
    v1::KillProcessesResponse response;
    const grpc::Status status = Call(*sensors, &v1::SensorService::Stub::KillProcesses, request, &response);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    return FieldIn(status);
  };
  v1::KillGroup group;
  CHECK(field(group) == "group");
  group.mutable_tree();
  CHECK(field(group) == "group.tree.pid");
  group.mutable_file();
  CHECK(field(group) == "group.file");
  group.mutable_file()->set_path("bin/nc");
  CHECK(field(group) == "group.file.path");
  group.mutable_scope();
  CHECK(field(group) == "group.scope");
  group.mutable_scope()->set_cgroup("/a/../b");
  CHECK(field(group) == "group.scope.cgroup");
  CHECK(plane.database().Value("SELECT count(*) FROM commands") == "0");
}

TEST_CASE_METHOD(Fixture, "a path that is relative, holds a NUL or is not normalized is refused") {
  for (const std::string& path :
       {std::string("bin/nc"), std::string("/bin/n\0c", 8), std::string("/bin//nc"), std::string("/bin/../nc"),
        std::string("/"), std::string(""), "/" + std::string(4096, 'a')}) {
    INFO(path);
    const grpc::Status status = Block(path);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK(FieldIn(status) == "binary.path");
  }
  CHECK(plane.database().Value("SELECT count(*) FROM enforcement_policies") == "0");
}

TEST_CASE_METHOD(Fixture, "isolation rules that mean nothing are refused by field") {
  v1::IsolationRule good;
  good.set_direction(v1::DIRECTION_ANY);

  v1::IsolationRule rule = good;
  rule.set_address("10.0.1.5/8");
  grpc::Status status = AddRule(rule);
  CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
  CHECK(FieldIn(status) == "rule.address");
  CHECK_THAT(status.error_message(), Catch::Contains("10.0.0.0/8"));

  rule = good;
  rule.mutable_ports()->set_first(70000);
  rule.mutable_ports()->set_last(70000);
  CHECK(FieldIn(AddRule(rule)) == "rule.ports.first");

  rule = good;
  rule.set_direction(v1::DIRECTION_UNSPECIFIED);
  CHECK(FieldIn(AddRule(rule)) == "rule.direction");

  rule = good;
  rule.set_direction(static_cast<v1::Direction>(17));
  CHECK(FieldIn(AddRule(rule)) == "rule.direction");

  rule = good;
  rule.set_protocol(256);
  CHECK(FieldIn(AddRule(rule)) == "rule.protocol");

  rule = good;
  rule.set_description(std::string(257, 'x'));
  CHECK(FieldIn(AddRule(rule)) == "rule.description");

  rule = good;
  rule.set_id("00000000-0000-4000-8000-000000000000");
  CHECK(FieldIn(AddRule(rule)) == "rule.id");

  // A request without its rule must not become "allow everything".
  v1::CreateIsolationRuleResponse response;
  status =
      Call(*rules, &v1::IsolationRuleService::Stub::CreateIsolationRule, v1::CreateIsolationRuleRequest(), &response);
  CHECK(FieldIn(status) == "rule");
  CHECK(plane.database().Value("SELECT count(*) FROM rules") == "0");
}

TEST_CASE_METHOD(Fixture, "an unknown sensor is NOT_FOUND, a name that can be none INVALID_ARGUMENT") {
  v1::ContainSensorRequest request;
  v1::ContainSensorResponse response;
  request.set_sensor("web-2");
  const grpc::Status unknown = Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response);
  CHECK_GRPC_CODE(unknown, NOT_FOUND);
  CHECK(ReasonIn(unknown) == "SENSOR_NOT_FOUND");
  request.set_sensor("Web 1'; DROP TABLE sensors; --");
  const grpc::Status wrong = Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response);
  CHECK_GRPC_CODE(wrong, INVALID_ARGUMENT);
  CHECK(FieldIn(wrong) == "sensor");
}

TEST_CASE_METHOD(Fixture, "order contexts are checked before anything else") {
  v1::ContainSensorRequest request;
  v1::ContainSensorResponse response;
  request.set_sensor("web-1");
  request.set_request_id("no spaces");
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response)) == "request_id");
  request.clear_request_id();
  request.set_reason(std::string(513, 'r'));
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response)) == "reason");
}

TEST_CASE_METHOD(Fixture, "page sizes and tokens") {
  v1::ListSensorsRequest request;
  v1::ListSensorsResponse response;
  request.set_page_size(1001);
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ListSensors, request, &response)) == "page_size");
  request.set_page_size(-1);
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ListSensors, request, &response)) == "page_size");
  request.set_page_size(0);
  request.set_page_token("not a token");
  const grpc::Status status = Call(*sensors, &v1::SensorService::Stub::ListSensors, request, &response);
  CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
  CHECK(FieldIn(status) == "page_token");
}

TEST_CASE_METHOD(Fixture, "a message of 10 MB is RESOURCE_EXHAUSTED and harms nobody else") {
  v1::ContainSensorRequest request;
  request.set_sensor("web-1");
  request.set_reason(std::string(10 << 20, 'x'));
  v1::ContainSensorResponse response;
  CHECK_GRPC_CODE(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response), RESOURCE_EXHAUSTED);
  v1::ListSensorsResponse listed;
  CHECK_GRPC_CODE(Call(*sensors, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &listed), OK);
}

TEST_CASE_METHOD(Fixture, "tokens that do not enroll say why, and a bad request leaves its token unused") {
  const std::string csr = MakeKeyAndRequest().request_der;
  CHECK(ReasonIn(Enroll("bhe_guess", "db-1", csr)) == "TOKEN_UNKNOWN");

  const std::string token = plane.MakeToken();
  const grpc::Status no_csr = Enroll(token, "db-1", "not a request");
  CHECK_GRPC_CODE(no_csr, INVALID_ARGUMENT);
  const grpc::Status bad_name = Enroll(token, "DB 1", csr);
  CHECK_GRPC_CODE(bad_name, INVALID_ARGUMENT);
  CHECK(FieldIn(bad_name) == "name");
  const grpc::Status taken = Enroll(token, "web-1", csr);
  CHECK_GRPC_CODE(taken, ALREADY_EXISTS);
  CHECK_GRPC_CODE(Enroll(token, "db-1", csr), OK);
  const grpc::Status used = Enroll(token, "db-2", csr);
  CHECK_GRPC_CODE(used, UNAUTHENTICATED);
  CHECK(ReasonIn(used) == "TOKEN_USED");

  const std::string old = plane.MakeToken();
  plane.database().ExecuteAsSuperuser(
      "UPDATE enrollment_tokens SET created_at = created_at - interval '2 days', "
      "expires_at = expires_at - interval '2 days' WHERE uses = 0");
  const grpc::Status expired = Enroll(old, "db-3", csr);
  CHECK_GRPC_CODE(expired, UNAUTHENTICATED);
  CHECK(ReasonIn(expired) == "TOKEN_EXPIRED");
}

TEST_CASE_METHOD(Fixture, "orders to a revoked sensor are refused with the reason") {
  v1::RevokeSensorRequest revoke;
  revoke.set_sensor("web-1");
  v1::RevokeSensorResponse revoked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::RevokeSensor, revoke, &revoked));
  CHECK(revoked.sensor().trust() == v1::TRUST_REVOKED);
  CHECK(revoked.sensor().health() == v1::HEALTH_CRITICAL);
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  v1::ContainSensorResponse contained;
  const grpc::Status status = Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained);
  CHECK_GRPC_CODE(status, FAILED_PRECONDITION);
  CHECK(ReasonIn(status) == "SENSOR_REVOKED");
}

}  // namespace
}  // namespace bulkhead::controlplane::test
