// One identity on two hosts is found; restarts, reboots, reconnects and a cut-off renewal are not taken for it.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controlplane/orders/orders.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity identity = plane.EnrollSensor("web-1");
  std::unique_ptr<v1::SensorService::Stub> admin = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  // A run of the sensor program connects and goes.
  void Connect(const std::string& instance) { TestSensor(plane, identity).Open(instance); }
  v1::Sensor Get() {
    // As every replica does every five seconds.
    REQUIRE_OK(orders::SuspectClones(plane.store()));
    v1::GetSensorRequest request;
    request.set_sensor("web-1");
    v1::GetSensorResponse response;
    REQUIRE_GRPC_OK(Call(*admin, &v1::SensorService::Stub::GetSensor, request, &response));
    return response.sensor();
  }
  bool Suspected() { return Get().has_clone_suspected_at(); }
  grpc::Status Contain(bool allow_degraded = false) {
    v1::ContainSensorRequest request;
    request.set_sensor("web-1");
    request.set_allow_degraded(allow_degraded);
    v1::ContainSensorResponse response;
    return Call(*admin, &v1::SensorService::Stub::ContainSensor, request, &response);
  }
  grpc::Status Kill() {
    v1::KillProcessRequest request;
    request.set_sensor("web-1");
    request.mutable_process()->set_pid(4711);
    v1::KillProcessResponse response;
    return Call(*admin, &v1::SensorService::Stub::KillProcess, request, &response);
  }
  ClientIdentity Renew() {
    TestSensor sensor(plane, identity);
    sensor.Open();
    const KeyAndRequest fresh = MakeKeyAndRequest();
    v1::ConnectRequest request;
    request.mutable_renew_certificate()->set_certificate_request(fresh.request_der);
    sensor.Send(request);
    const v1::ConnectResponse issued = sensor.Next();
    REQUIRE(issued.has_certificate_issued());
    return {.key_pem = fresh.key_pem,
            .chain_pem = issued.certificate_issued().certificate_chain_pem(),
            .sensor_id = identity.sensor_id};
  }
};

TEST_CASE_METHOD(Fixture, "two hosts with one identity are found, orders are refused, and it is on record") {
  for (const char* const instance : {"host-a", "host-b", "host-a"}) Connect(instance);
  CHECK_FALSE(Suspected());
  // At the same time, too: the one supersedes the other's stream.
  TestSensor b(plane, identity);
  b.Open("host-b");
  TestSensor a(plane, identity);
  a.Open("host-a");
  CHECK(b.Next().goodbye().reason() == v1::GOODBYE_REASON_SUPERSEDED);
  const v1::Sensor sensor = Get();
  REQUIRE(sensor.has_clone_suspected_at());
  CHECK(sensor.health() == v1::HEALTH_CRITICAL);
  REQUIRE(sensor.health_reasons_size() > 0);
  CHECK(absl::StrContains(sensor.health_reasons(0), "two hosts"));
  CHECK(plane.database().Value("SELECT count(*) FROM audit_log WHERE action = 'sensor_clone_suspected'") == "1");
  CHECK(ReasonIn(Contain()) == "SENSOR_CLONED");
  CHECK(ReasonIn(Kill()) == "SENSOR_CLONED");
  // Knowingly, a containment reaches whoever shows the identity, and is not called in force by what one of them says.
  REQUIRE_GRPC_OK(Contain(/*allow_degraded=*/true));
  const v1::ConnectResponse pushed = a.Next();
  REQUIRE(pushed.heartbeat_response().has_desired_state());
  const v1::DesiredState& desired = pushed.heartbeat_response().desired_state();
  a.SendHeartbeat(1, TestSensor::Observed(desired.generation(), desired.digest()));
  CHECK(a.Next().heartbeat_response().unchanged());
  CHECK(Get().convergence() == v1::CONVERGENCE_STATE_PENDING);
  CHECK(ReasonIn(Kill()) == "SENSOR_CLONED");
}

TEST_CASE_METHOD(Fixture, "restarts, reboots and reconnects of one host are no clone, and neither is one snapshot") {
  for (int run = 0; run < 12; ++run) {
    for (int reconnect = 0; reconnect < 3; ++reconnect) Connect(absl::StrCat("run-", run));
  }
  // A virtual machine that is set back to a snapshot of its memory comes back once.
  Connect("run-10");
  Connect("run-10");
  Connect("run-13");
  CHECK_FALSE(Suspected());
  // A day later again: still not what two hosts do.
  plane.database().Execute(
      "UPDATE sensor_reports SET instance_returned_at = instance_returned_at - interval '25 hours'");
  Connect("run-10");
  CHECK_FALSE(Suspected());
}

TEST_CASE_METHOD(Fixture, "sensors without instances are told apart by their boot") {
  for (int i = 0; i < 5; ++i) Connect("");
  CHECK_FALSE(Suspected());
  CHECK(plane.database().Value("SELECT array_length(instances, 1) FROM sensor_reports") == "1");
  // Two hosts that boot apart.
  for (const char* const boot : {"11111111-6f4e-4b0e-9a55-0c2f7a6d1f11", "22222222-6f4e-4b0e-9a55-0c2f7a6d1f11",
                                 "11111111-6f4e-4b0e-9a55-0c2f7a6d1f11", "22222222-6f4e-4b0e-9a55-0c2f7a6d1f11"}) {
    TestSensor sensor(plane, identity);
    sensor.boot_id = boot;
    sensor.Open();
  }
  CHECK(Suspected());
}

TEST_CASE_METHOD(Fixture, "the first use of a renewed certificate ends the old one; until then both are good") {
  const ClientIdentity renewed = Renew();
  TestSensor(plane, identity).Open();
  TestSensor(plane, renewed).Open();
  const grpc::Status refused = TestSensor(plane, identity).Finish();
  CHECK_GRPC_CODE(refused, UNAUTHENTICATED);
  CHECK(ReasonIn(refused) == "CERTIFICATE_SUPERSEDED");
  TestSensor(plane, renewed).Open();
  // One that was issued and never used ends nothing, and is ended by the next.
  const ClientIdentity before = std::exchange(identity, renewed);
  const ClientIdentity lost = Renew();
  const ClientIdentity used = Renew();
  TestSensor(plane, used).Open();
  CHECK(ReasonIn(TestSensor(plane, lost).Finish()) == "CERTIFICATE_SUPERSEDED");
  CHECK(ReasonIn(TestSensor(plane, before).Finish()) == "CERTIFICATE_SUPERSEDED");
}

TEST_CASE_METHOD(Fixture,
                 "a copy of the identity that was not renewed with it is found; a renewal that was cut off is not") {
  const ClientIdentity copy = identity;
  const ClientIdentity renewed = Renew();
  TestSensor(plane, renewed).Open();
  for (int i = 0; i < 2; ++i) TestSensor(plane, copy).Finish();
  CHECK_FALSE(Suspected());
  for (int i = 0; i < 2; ++i) TestSensor(plane, copy).Finish();
  const v1::Sensor sensor = Get();
  REQUIRE(sensor.has_clone_suspected_at());
  CHECK(absl::StrContains(sensor.clone_reason(), "restored from a backup"));
}

TEST_CASE_METHOD(Fixture, "an admin takes the suspicion back, and it comes back if it is so; enrolling again ends it") {
  const auto take_turns = [this] {
    for (const char* const instance : {"host-a", "host-b", "host-a", "host-b"}) Connect(instance);
  };
  take_turns();
  CHECK(Suspected());
  v1::ClearCloneSuspicionRequest request;
  request.set_sensor("web-1");
  request.set_reason("looked at both");
  v1::ClearCloneSuspicionResponse response;
  auto oper = v1::SensorService::NewStub(plane.ConnectAs("operator"));
  CHECK_GRPC_CODE(Call(*oper, &v1::SensorService::Stub::ClearCloneSuspicion, request, &response), PERMISSION_DENIED);
  REQUIRE_GRPC_OK(Call(*admin, &v1::SensorService::Stub::ClearCloneSuspicion, request, &response));
  CHECK_FALSE(response.sensor().has_clone_suspected_at());
  CHECK_FALSE(Suspected());
  REQUIRE_GRPC_OK(Contain());
  take_turns();
  CHECK(Suspected());
  CHECK(plane.database().Value("SELECT count(*) FROM audit_log WHERE action = 'sensor_clone_suspected'") == "2");
  identity = plane.EnrollSensor("web-1", "web-1");
  CHECK_FALSE(Suspected());
}

}  // namespace
}  // namespace bulkhead::controlplane::test
