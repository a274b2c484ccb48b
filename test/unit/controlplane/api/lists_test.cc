// Lists: fields that are asked for, sensors that are filtered by what is worked out about them, and pages of both.
#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "bulkhead/v1/policy_service.grpc.pb.h"
#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity web = plane.EnrollSensor("web-1");
  ClientIdentity db = plane.EnrollSensor("db-1");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  grpc::Status List(const v1::ListSensorsRequest& request, v1::ListSensorsResponse* response) {
    return Call(*sensors, &v1::SensorService::Stub::ListSensors, request, response);
  }
  // The names of what is listed, page by page of one.
  std::vector<std::string> Names(v1::ListSensorsRequest request) {
    std::vector<std::string> names;
    request.set_page_size(1);
    do {
      v1::ListSensorsResponse page;
      REQUIRE_GRPC_OK(List(request, &page));
      for (const v1::Sensor& sensor : page.sensors()) names.push_back(sensor.name());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return names;
  }
  void Contain(const std::string& sensor) {
    v1::ContainSensorRequest request;
    request.set_sensor(sensor);
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
  }
};

using Listed = std::vector<std::string>;

TEST_CASE_METHOD(Fixture, "only the fields that are asked for are answered, and all without a mask or with *") {
  TestSensor sensor(plane, web);
  sensor.Open();
  v1::ListSensorsRequest request;
  v1::ListSensorsResponse response;
  request.set_name_prefix("web");
  request.mutable_read_mask()->add_paths("name");
  request.mutable_read_mask()->add_paths("host.hostname");
  REQUIRE_GRPC_OK(List(request, &response));
  v1::Sensor wanted;
  wanted.set_name("web-1");
  wanted.mutable_host()->set_hostname("web-1.example.org");
  REQUIRE(response.sensors_size() == 1);
  CHECK(response.sensors(0).SerializeAsString() == wanted.SerializeAsString());

  request.mutable_read_mask()->clear_paths();
  REQUIRE_GRPC_OK(List(request, &response));
  CHECK(response.sensors(0).has_capabilities());
  request.mutable_read_mask()->add_paths("*");
  REQUIRE_GRPC_OK(List(request, &response));
  CHECK(response.sensors(0).has_capabilities());
  CHECK(response.sensors(0).has_observed());
}

TEST_CASE_METHOD(Fixture, "a path that is no field is refused by name, everywhere") {
  for (const char* path : {"nmae", "", "name.x", "enforcement_policies.id", "labels.env", "host..hostname", "*"}) {
    INFO(path);
    v1::ListSensorsRequest request;
    request.mutable_read_mask()->add_paths("name");
    request.mutable_read_mask()->add_paths(path);
    v1::ListSensorsResponse response;
    const grpc::Status status = List(request, &response);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK(FieldIn(status) == "read_mask");
  }
  v1::GetSensorRequest get;
  get.set_sensor("web-1");
  get.mutable_read_mask()->add_paths("x");
  v1::GetSensorResponse got;
  CHECK(FieldIn(Call(*sensors, &v1::SensorService::Stub::GetSensor, get, &got)) == "read_mask");
  v1::ListEnforcementPoliciesRequest list;
  list.mutable_read_mask()->add_paths("health");
  v1::ListEnforcementPoliciesResponse listed;
  auto policies = v1::PolicyService::NewStub(plane.ConnectAs("viewer"));
  CHECK(FieldIn(Call(*policies, &v1::PolicyService::Stub::ListEnforcementPolicies, list, &listed)) == "read_mask");
  auto rollouts = v1::RolloutService::NewStub(plane.ConnectAs("viewer"));
  v1::ListRolloutsRequest some;
  some.mutable_read_mask()->add_paths("sensors");
  v1::ListRolloutsResponse none;
  CHECK(FieldIn(Call(*rollouts, &v1::RolloutService::Stub::ListRollouts, some, &none)) == "read_mask");
}

TEST_CASE_METHOD(Fixture, "masks of one sensor and of policies") {
  Contain("web-1");
  v1::GetSensorRequest get;
  get.set_sensor("web-1");
  get.mutable_read_mask()->add_paths("is_contained");
  v1::GetSensorResponse got;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::GetSensor, get, &got));
  CHECK(got.sensor().is_contained());
  CHECK(got.sensor().id().empty());
  v1::ListEnforcementPoliciesRequest list;
  list.mutable_read_mask()->add_paths("name");
  v1::ListEnforcementPoliciesResponse listed;
  auto policies = v1::PolicyService::NewStub(plane.ConnectAs("viewer"));
  REQUIRE_GRPC_OK(Call(*policies, &v1::PolicyService::Stub::ListEnforcementPolicies, list, &listed));
  REQUIRE(listed.policies_size() == 1);
  CHECK(listed.policies(0).name() == "network-containment");
  CHECK(listed.policies(0).id().empty());
}

TEST_CASE_METHOD(Fixture, "sensors by health, convergence, containment and isolation, and several at once") {
  TestSensor sensor(plane, web);
  const v1::DesiredState desired = sensor.Open();
  sensor.SendHeartbeat(1, TestSensor::Observed(desired.generation(), desired.digest()));
  sensor.Next();
  v1::ListSensorsRequest request;
  request.add_health(v1::HEALTH_HEALTHY);
  CHECK(Names(request) == Listed{"web-1"});
  request.add_health(v1::HEALTH_DEGRADED);  // db-1 is not connected
  CHECK(Names(request) == Listed{"db-1", "web-1"});
  request.add_convergence(v1::CONVERGENCE_STATE_UNSPECIFIED);
  CHECK(Names(request) == Listed{"db-1"});

  Contain("db-1");
  request.Clear();
  request.set_is_contained(true);
  CHECK(Names(request) == Listed{"db-1"});
  request.set_is_contained(false);
  CHECK(Names(request) == Listed{"web-1"});
  request.set_is_isolated(true);
  CHECK(Names(request).empty());
  request.Clear();
  request.set_is_isolated(false);
  CHECK(Names(request) == Listed{"db-1", "web-1"});
  request.add_convergence(v1::CONVERGENCE_STATE_SYNCED);
  request.set_name_prefix("db");
  CHECK(Names(request).empty());
}

TEST_CASE_METHOD(Fixture, "a filtered list has the fields that were asked for too") {
  TestSensor sensor(plane, web);
  sensor.Open();
  v1::ListSensorsRequest request;
  request.set_is_contained(false);
  request.set_name_prefix("web");
  v1::ListSensorsResponse response;
  REQUIRE_GRPC_OK(List(request, &response));
  REQUIRE(response.sensors_size() == 1);
  CHECK(response.sensors(0).host().hostname() == "web-1.example.org");
  CHECK(response.sensors(0).capabilities().isolation_tier() == v1::TIER_FULL);
}

TEST_CASE_METHOD(Fixture, "a page token is good for its filter only") {
  v1::ListSensorsRequest request;
  request.set_is_contained(false);
  request.set_page_size(1);
  v1::ListSensorsResponse response;
  REQUIRE_GRPC_OK(List(request, &response));
  request.set_page_token(response.next_page_token());
  request.mutable_read_mask()->add_paths("name");  // what is shown may change from page to page
  REQUIRE_GRPC_OK(List(request, &response));
  request.set_is_contained(true);
  CHECK(FieldIn(List(request, &response)) == "page_token");
}

TEST_CASE_METHOD(Fixture, "an unspecified health is refused, not taken for all") {
  v1::ListSensorsRequest request;
  request.add_health(v1::HEALTH_HEALTHY);
  request.add_health(v1::HEALTH_UNSPECIFIED);
  v1::ListSensorsResponse response;
  CHECK(FieldIn(List(request, &response)) == "health[1]");
}

TEST_CASE_METHOD(Fixture, "a filter that few match is answered from a fleet of more than one scan") {
  plane.database().Execute(
      "WITH made AS (INSERT INTO sensors (id, name, desired_digest, enrolled_at)"
      " SELECT gen_random_uuid(), 'bulk-' || lpad(n::text, 5, '0'), decode(repeat('ab', 32), 'hex'), now()"
      " FROM generate_series(1, 2500) n RETURNING id) INSERT INTO sensor_reports (sensor_id) SELECT id FROM made");
  Contain("bulk-02400");
  Contain("bulk-00007");
  v1::ListSensorsRequest request;
  request.set_is_contained(true);
  CHECK(Names(request) == Listed{"bulk-00007", "bulk-02400"});
}

}  // namespace
}  // namespace bulkhead::controlplane::test
