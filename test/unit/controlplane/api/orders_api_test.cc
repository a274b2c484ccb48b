// Orders through the API: what they answer, and what a repeated one does.
#include <catch2/catch.hpp>

#include "bulkhead/v1/audit.grpc.pb.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "common/hex.h"
#include "unit/controlplane/api/control_plane_fixture.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  std::string sensor_id = plane.EnrollSensor("web-1").sensor_id;
  std::shared_ptr<grpc::Channel> admin = plane.ConnectAs("admin");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(admin);
  std::unique_ptr<v1::PolicyService::Stub> policies = v1::PolicyService::NewStub(admin);
  std::unique_ptr<v1::IsolationRuleService::Stub> rules = v1::IsolationRuleService::NewStub(admin);

  v1::Sensor Get() {
    v1::GetSensorRequest request;
    request.set_sensor("web-1");
    v1::GetSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::GetSensor, request, &response));
    return response.sensor();
  }
};

TEST_CASE_METHOD(Fixture, "contain, contain again, release, release again") {
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  contain.set_reason("beacon to 203.0.113.9");
  v1::ContainSensorResponse contained;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  CHECK_FALSE(contained.already_contained());
  CHECK(contained.sensor().is_contained());
  CHECK(contained.policy().name() == "network-containment");
  CHECK(contained.policy().action() == v1::POLICY_ACTION_DENY);
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  CHECK(contained.already_contained());
  CHECK(contained.sensor().desired_generation() == 2);

  v1::ReleaseSensorRequest release;
  release.set_sensor(sensor_id);
  v1::ReleaseSensorResponse released;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released));
  CHECK_FALSE(released.already_released());
  CHECK_FALSE(released.sensor().is_contained());
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released));
  CHECK(released.already_released());

  release.set_only(v1::POLICY_TEMPLATE_BLOCK_BINARY);
  const grpc::Status wrong = Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released);
  CHECK_GRPC_CODE(wrong, INVALID_ARGUMENT);
  CHECK(FieldIn(wrong) == "only");
}

TEST_CASE_METHOD(Fixture, "an order for a while: by duration, by time, and what is no lease") {
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  contain.mutable_lease()->mutable_duration()->set_seconds(1800);
  contain.mutable_lease()->set_on_expiry(v1::ON_EXPIRY_HOLD);
  contain.set_on_unreachable(v1::ON_UNREACHABLE_HOLD);
  v1::ContainSensorResponse contained;
  const int64_t before = absl::ToUnixSeconds(absl::Now());
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  const v1::EnforcementPolicy& policy = contained.policy();
  CHECK(policy.expires_at().seconds() >= before + 1800);
  CHECK(policy.expires_at().seconds() <= before + 1860);
  CHECK(policy.on_expiry() == v1::ON_EXPIRY_HOLD);
  CHECK(policy.on_unreachable() == v1::ON_UNREACHABLE_HOLD);

  v1::IsolateSensorRequest isolate;
  isolate.set_sensor("web-1");
  isolate.set_action(v1::POLICY_ACTION_NOTIFY);
  isolate.mutable_lease()->mutable_until()->set_seconds(before + 3600);
  v1::IsolateSensorResponse isolated;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated));
  CHECK(isolated.policy().expires_at().seconds() == before + 3600);
  CHECK(isolated.policy().action() == v1::POLICY_ACTION_NOTIFY);

  isolate.set_action(v1::POLICY_ACTION_SIGKILL);
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated)) == "action");
  isolate.set_action(v1::POLICY_ACTION_DENY);
  isolate.mutable_lease()->mutable_until()->set_seconds(before - 3600);
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated)) == "lease.until");
  isolate.mutable_lease()->mutable_duration()->set_seconds(int64_t{366} * 24 * 3600);
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated)) == "lease.duration");
  isolate.mutable_lease()->clear_end();
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated)) == "lease");
}

TEST_CASE_METHOD(Fixture, "an order for a scope: which one, and what is none") {
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  contain.mutable_scope()->set_systemd_unit("nginx.service");
  v1::ContainSensorResponse contained;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  CHECK(contained.policy().name() == "network-containment-nginx.service");
  CHECK(contained.policy().scope().systemd_unit() == "nginx.service");
  CHECK_FALSE(contained.sensor().is_contained());
  CHECK(contained.sensor().enforcement_policies(0).scope().systemd_unit() == "nginx.service");
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  CHECK(contained.already_contained());

  contain.mutable_scope()->set_systemd_unit("nginx");
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained)) == "scope.systemd_unit");
  contain.mutable_scope()->clear_target();
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained)) == "scope");

  v1::ReleaseSensorRequest release;
  release.set_sensor("web-1");
  v1::ReleaseSensorResponse released;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released));
  CHECK(released.already_released());
  release.mutable_scope()->set_cgroup("nginx.service");
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released)) == "scope.cgroup");
  release.mutable_scope()->set_systemd_unit("nginx.service");
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released));
  CHECK_FALSE(released.already_released());
  CHECK(released.sensor().enforcement_policies_size() == 0);
}

TEST_CASE_METHOD(Fixture, "an allow-list is a policy of its scope") {
  v1::SetAllowListRequest set;
  set.set_sensor("web-1");
  set.mutable_allow_list()->add_binaries()->set_path("/usr/sbin/nginx");
  v1::SetAllowListResponse response;
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::SetAllowList, set, &response)) == "scope");
  set.mutable_scope()->set_systemd_unit("nginx.service");
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::SetAllowList, set, &response));
  CHECK(response.policy().template_() == v1::POLICY_TEMPLATE_ALLOW_LIST);
  CHECK(response.policy().action() == v1::POLICY_ACTION_DENY);
  CHECK(response.policy().scope().systemd_unit() == "nginx.service");
  CHECK(response.policy().allow_list().binaries(0).path() == "/usr/sbin/nginx");
  CHECK_FALSE(response.already_set());
  CHECK_FALSE(response.sensor().is_contained());
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::SetAllowList, set, &response));
  CHECK(response.already_set());
  set.mutable_allow_list()->add_binaries();
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::SetAllowList, set, &response)) == "allow_list.binaries[1]");
}

TEST_CASE_METHOD(Fixture, "a blocked binary is a policy that its id lifts") {
  v1::BlockBinaryRequest block;
  block.set_sensor("web-1");
  block.mutable_binary()->set_path("/usr/bin/ncat");
  block.mutable_binary()->set_sha256("short");
  v1::BlockBinaryResponse refused;
  const grpc::Status short_digest = Call(*sensors, &v1::SensorService::Stub::BlockBinary, block, &refused);
  CHECK_GRPC_CODE(short_digest, INVALID_ARGUMENT);
  CHECK(FieldIn(short_digest) == "binary.sha256");
  block.mutable_binary()->set_sha256(std::string(32, '\xab'));
  block.mutable_binary()->set_kill_running(true);
  block.mutable_binary()->set_forced(true);  // not the request's to say
  v1::BlockBinaryResponse blocked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::BlockBinary, block, &blocked));
  CHECK_THAT(blocked.policy().name(), Catch::StartsWith("bulkhead-block-binary-"));
  CHECK(blocked.policy().action() == v1::POLICY_ACTION_SIGKILL);

  v1::ListEnforcementPoliciesRequest list;
  list.set_sensor("web-1");
  v1::ListEnforcementPoliciesResponse listed;
  REQUIRE_GRPC_OK(Call(*policies, &v1::PolicyService::Stub::ListEnforcementPolicies, list, &listed));
  REQUIRE(listed.policies_size() == 1);
  CHECK(listed.policies(0).block_binary().path() == "/usr/bin/ncat");
  CHECK(listed.policies(0).block_binary().sha256() == std::string(32, '\xab'));
  CHECK(listed.policies(0).block_binary().kill_running());
  CHECK(!listed.policies(0).block_binary().forced());

  v1::DeleteEnforcementPolicyRequest lift;
  lift.set_id(blocked.policy().id());
  v1::DeleteEnforcementPolicyResponse lifted;
  REQUIRE_GRPC_OK(Call(*policies, &v1::PolicyService::Stub::DeleteEnforcementPolicy, lift, &lifted));
  CHECK(lifted.policy().id() == blocked.policy().id());
  CHECK(Get().enforcement_policies().empty());
  CHECK_GRPC_CODE(Call(*policies, &v1::PolicyService::Stub::DeleteEnforcementPolicy, lift, &lifted), NOT_FOUND);
}

TEST_CASE_METHOD(Fixture, "a block-list of 100 000 is ordered with one call, and read without its binaries") {
  v1::BlockBinaryRequest block;
  block.set_sensor("web-1");
  v1::BlockList& list = *block.mutable_binary()->mutable_list();
  list.set_name("feed");
  for (int i = 0; i < 100000; ++i) list.add_binaries()->set_sha256(Sha256(std::to_string(i)));
  v1::BlockBinaryResponse blocked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::BlockBinary, block, &blocked));
  CHECK(blocked.policy().name() == "bulkhead-block-list-feed");
  CHECK(blocked.policy().block_binary().list().size() == 100000);
  CHECK(blocked.policy().block_binary().list().sha256().size() == 32);
  CHECK(blocked.policy().block_binary().list().binaries().empty());
  CHECK(Get().enforcement_policies(0).block_binary().list().binaries().empty());

  list.add_binaries()->set_path("/tmp/one-more");
  const grpc::Status refused = Call(*sensors, &v1::SensorService::Stub::BlockBinary, block, &blocked);
  CHECK_GRPC_CODE(refused, INVALID_ARGUMENT);
  CHECK(FieldIn(refused) == "binary.list.binaries");
}

TEST_CASE_METHOD(Fixture, "a request id makes an order safe to repeat, and only that order") {
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  contain.set_request_id("incident-7");
  v1::ContainSensorResponse first, second;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &first));
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &second));
  CHECK(second.SerializeAsString() == first.SerializeAsString());
  CHECK_FALSE(second.already_contained());

  contain.set_reason("another order under the same id");
  const grpc::Status reused = Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &second);
  CHECK_GRPC_CODE(reused, ALREADY_EXISTS);
  CHECK(ReasonIn(reused) == "REQUEST_ID_REUSED");
}

TEST_CASE_METHOD(Fixture, "a stale etag is refused, and nothing is changed") {
  const std::string etag = Get().etag();
  v1::ContainSensorRequest contain;
  contain.set_sensor("web-1");
  contain.set_etag(etag);
  v1::ContainSensorResponse contained;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, contain, &contained));
  v1::IsolateSensorRequest isolate;
  isolate.set_sensor("web-1");
  isolate.set_etag(etag);
  v1::IsolateSensorResponse isolated;
  const grpc::Status stale = Call(*sensors, &v1::SensorService::Stub::IsolateSensor, isolate, &isolated);
  CHECK_GRPC_CODE(stale, ABORTED);
  CHECK(ReasonIn(stale) == "STALE_ETAG");
  CHECK_FALSE(Get().is_isolated());
}

TEST_CASE_METHOD(Fixture, "isolation rules come and go") {
  v1::CreateIsolationRuleRequest create;
  create.mutable_rule()->set_address("10.0.0.0/8");
  create.mutable_rule()->mutable_ports()->set_first(443);
  create.mutable_rule()->mutable_ports()->set_last(443);
  create.mutable_rule()->set_protocol(6);
  create.mutable_rule()->set_direction(v1::DIRECTION_OUTBOUND);
  v1::CreateIsolationRuleResponse created;
  REQUIRE_GRPC_OK(Call(*rules, &v1::IsolationRuleService::Stub::CreateIsolationRule, create, &created));
  CHECK(created.rule().address() == "10.0.0.0/8");
  CHECK_FALSE(created.rule().created_by().empty());
  CHECK_GRPC_CODE(Call(*rules, &v1::IsolationRuleService::Stub::CreateIsolationRule, create, &created), ALREADY_EXISTS);
  v1::DeleteIsolationRuleRequest remove;
  remove.set_id(created.rule().id());
  v1::DeleteIsolationRuleResponse removed;
  REQUIRE_GRPC_OK(Call(*rules, &v1::IsolationRuleService::Stub::DeleteIsolationRule, remove, &removed));
  v1::ListIsolationRulesResponse listed;
  REQUIRE_GRPC_OK(
      Call(*rules, &v1::IsolationRuleService::Stub::ListIsolationRules, v1::ListIsolationRulesRequest(), &listed));
  CHECK(listed.rules().empty());
}

TEST_CASE_METHOD(Fixture, "a token's secret is in the first answer only") {
  auto enrollment = v1::EnrollmentService::NewStub(admin);
  v1::CreateEnrollmentTokenRequest create;
  create.set_label("rack 4");
  create.set_request_id("token-1");
  v1::CreateEnrollmentTokenResponse first, second;
  REQUIRE_GRPC_OK(Call(*enrollment, &v1::EnrollmentService::Stub::CreateEnrollmentToken, create, &first));
  CHECK(first.secret().size() > 32);
  REQUIRE_GRPC_OK(Call(*enrollment, &v1::EnrollmentService::Stub::CreateEnrollmentToken, create, &second));
  CHECK(second.token().id() == first.token().id());
  CHECK(second.secret().empty());
}

TEST_CASE_METHOD(Fixture, "every order is in the audit log, which verifies") {
  v1::DisableSensorRequest disable;
  disable.set_sensor("web-1");
  disable.set_reason("maintenance");
  v1::DisableSensorResponse disabled;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::DisableSensor, disable, &disabled));
  CHECK(disabled.sensor().disabled());
  auto audit = v1::AuditService::NewStub(admin);
  v1::ListAuditRecordsRequest list;
  list.set_sensor("web-1");
  v1::ListAuditRecordsResponse listed;
  REQUIRE_GRPC_OK(Call(*audit, &v1::AuditService::Stub::ListAuditRecords, list, &listed));
  REQUIRE(listed.records_size() == 2);
  CHECK(listed.records(0).action() == "sensor_disabled");
  CHECK(listed.records(1).action() == "sensor_enrolled");
  CHECK(listed.records(0).hash().size() == 32);
  v1::VerifyAuditLogResponse verified;
  REQUIRE_GRPC_OK(Call(*audit, &v1::AuditService::Stub::VerifyAuditLog, v1::VerifyAuditLogRequest(), &verified));
  CHECK(verified.intact());
  CHECK(verified.records_checked() >= 3);
}

TEST_CASE_METHOD(Fixture, "while the database does not answer, calls are UNAVAILABLE and work again afterwards") {
  const auto reachable = [&] {
    v1::ListSensorsResponse listed;
    return Call(*sensors, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &listed);
  };
  REQUIRE_GRPC_OK(reachable());
  // Superusers, such as this test, are exempt from the limit.
  plane.database().ExecuteAsSuperuser(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); END $$");
  plane.database().ExecuteAsSuperuser(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
      " WHERE usename = 'bulkhead' AND datname = current_database()");
  CHECK_GRPC_CODE(reachable(), UNAVAILABLE);
  plane.database().ExecuteAsSuperuser(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1', current_database()); END $$");
  CHECK_GRPC_CODE(reachable(), OK);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
