// The sensor's stream against the real server: hello, desired state, heartbeats, commands, renewal, and every way to
// end it.
#include <algorithm>
#include <catch2/catch.hpp>

#include "harness/status_matchers.h"
#include "store/fleet.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity identity = plane.EnrollSensor("web-1");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  v1::Sensor Get() {
    v1::GetSensorRequest request;
    request.set_sensor("web-1");
    v1::GetSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::GetSensor, request, &response));
    return response.sensor();
  }
  // What the sensor's record becomes once `wanted` holds, or what it is after 5 s.
  template <typename Wanted>
  v1::Sensor Await(Wanted wanted) {
    const absl::Time limit = absl::Now() + absl::Seconds(5);
    v1::Sensor sensor = Get();
    while (!wanted(sensor) && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(20));
      sensor = Get();
    }
    return sensor;
  }
  void Contain() {
    v1::ContainSensorRequest request;
    request.set_sensor("web-1");
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
  }
  v1::Command Kill(uint32_t pid) {
    v1::KillProcessRequest request;
    request.set_sensor("web-1");
    request.mutable_process()->set_pid(pid);
    v1::KillProcessResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::KillProcess, request, &response));
    return response.command();
  }
  v1::Command GetCommand(const std::string& id) {
    v1::GetCommandRequest request;
    request.set_id(id);
    v1::GetCommandResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::GetCommand, request, &response));
    return response.command();
  }
};

TEST_CASE_METHOD(Fixture, "hello is answered by welcome and the complete desired state, and the host is known") {
  TestSensor sensor(plane, identity);
  sensor.SendHello();
  const v1::ConnectResponse welcome = sensor.Next();
  REQUIRE(welcome.has_welcome());
  CHECK(welcome.welcome().heartbeat_interval_seconds() == 30);
  CHECK(welcome.welcome().replica_id() == "test-replica");
  const v1::ConnectResponse state = sensor.Next();
  CHECK(state.heartbeat_response().sequence() == 0);
  CHECK(state.heartbeat_response().desired_state().sensor_id() == identity.sensor_id);
  CHECK(state.heartbeat_response().desired_state().generation() == 1);
  CHECK(state.heartbeat_response().desired_state().digest().size() == 32);
  const v1::Sensor shown = Get();
  CHECK(shown.connected());
  CHECK(shown.host().hostname() == "web-1.example.org");
  CHECK(shown.capabilities().isolation_tier() == v1::TIER_FULL);
}

TEST_CASE_METHOD(Fixture, "a lease is sent with the clock that it is to be read by") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  v1::ContainSensorRequest request;
  request.set_sensor("web-1");
  request.mutable_lease()->mutable_duration()->set_seconds(600);
  v1::ContainSensorResponse response;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
  const v1::ConnectResponse pushed = sensor.Next();
  const v1::DesiredState& state = pushed.heartbeat_response().desired_state();
  REQUIRE(state.enforcement_policies_size() == 1);
  const int64_t left = state.enforcement_policies(0).expires_at().seconds() - state.sent_at().seconds();
  CHECK(left > 590);
  CHECK(left <= 600);
}

TEST_CASE_METHOD(Fixture, "an order is pushed at once, and a heartbeat that has it is answered unchanged") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  const absl::Time ordered = absl::Now();
  Contain();
  const v1::ConnectResponse push = sensor.Next();
  CHECK(absl::Now() - ordered < absl::Seconds(2));
  const v1::DesiredState& desired = push.heartbeat_response().desired_state();
  CHECK(push.heartbeat_response().sequence() == 0);
  CHECK(desired.contained());
  CHECK(desired.generation() == 2);
  REQUIRE(desired.enforcement_policies_size() == 1);
  CHECK(Get().convergence() == v1::CONVERGENCE_STATE_PENDING);

  v1::ConnectRequest ack;
  ack.mutable_policy_status()->set_generation(2);
  ack.mutable_policy_status()->set_applied(true);
  *ack.mutable_policy_status()->mutable_observed() = TestSensor::Observed(2, desired.digest());
  sensor.Send(ack);
  CHECK(Await([](const v1::Sensor& s) { return s.convergence() == v1::CONVERGENCE_STATE_SYNCED; }).convergence() ==
        v1::CONVERGENCE_STATE_SYNCED);

  sensor.SendHeartbeat(1, TestSensor::Observed(2, desired.digest()));
  const v1::ConnectResponse answer = sensor.Next();
  CHECK(answer.heartbeat_response().sequence() == 1);
  CHECK(answer.heartbeat_response().unchanged());
  CHECK_FALSE(answer.heartbeat_response().has_desired_state());

  // Drifted: the heartbeat reports other rules, so the whole state comes again.
  sensor.SendHeartbeat(2, TestSensor::Observed(2, std::string(32, 'z')));
  const v1::ConnectResponse repair = sensor.Next();
  CHECK(repair.heartbeat_response().sequence() == 2);
  CHECK_FALSE(repair.heartbeat_response().unchanged());
  CHECK(repair.heartbeat_response().desired_state().digest() == desired.digest());
}

TEST_CASE_METHOD(Fixture, "a refused generation is FAILED with the reason and is not pushed in a loop") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  Contain();
  REQUIRE(sensor.Next().heartbeat_response().has_desired_state());
  v1::ConnectRequest nack;
  nack.mutable_policy_status()->set_generation(2);
  nack.mutable_policy_status()->set_message("no memory for the maps");
  *nack.mutable_policy_status()->mutable_observed() = TestSensor::Observed(1, std::string(32, 'a'));
  sensor.Send(nack);
  const v1::Sensor failed = Await([](const v1::Sensor& s) { return s.convergence() == v1::CONVERGENCE_STATE_FAILED; });
  CHECK(failed.convergence() == v1::CONVERGENCE_STATE_FAILED);
  CHECK(failed.convergence_reason() == "no memory for the maps");
  // The next message is the answer to this heartbeat, not a push of the same generation.
  sensor.SendHeartbeat(9, TestSensor::Observed(1, std::string(32, 'a')));
  CHECK(sensor.Next().heartbeat_response().sequence() == 9);
}

TEST_CASE_METHOD(Fixture, "a sensor that was away gets what it missed, and one that has it is not sent it again") {
  std::string digest;
  {
    TestSensor sensor(plane, identity);
    sensor.Open();
  }
  Contain();
  {
    TestSensor sensor(plane, identity);
    const v1::DesiredState desired = sensor.Open();
    CHECK(desired.generation() == 2);
    CHECK(desired.contained());
    digest = desired.digest();
  }
  plane.Restart();
  TestSensor sensor(plane, identity);
  sensor.SendHello(TestSensor::Observed(2, digest));
  REQUIRE(sensor.Next().has_welcome());
  sensor.SendHeartbeat(1, TestSensor::Observed(2, digest));
  const v1::ConnectResponse answer = sensor.Next();
  CHECK(answer.heartbeat_response().sequence() == 1);
  CHECK(answer.heartbeat_response().unchanged());
}

TEST_CASE_METHOD(Fixture, "a command is sent, sent again after a reconnect, and ends with its result") {
  const v1::Command ordered = Kill(4242);
  CHECK(ordered.state() == v1::COMMAND_STATE_QUEUED);
  {
    TestSensor sensor(plane, identity);
    sensor.SendHello();
    REQUIRE(sensor.Next().has_welcome());
    CHECK(sensor.Next().heartbeat_response().pending_kill_pids(0) == 4242);
    CHECK(sensor.Next().command().id() == ordered.id());
    CHECK(GetCommand(ordered.id()).state() == v1::COMMAND_STATE_DELIVERED);
  }
  TestSensor sensor(plane, identity);
  sensor.Open();
  const v1::ConnectResponse again = sensor.Next();
  CHECK(again.command().id() == ordered.id());
  CHECK(again.command().kill_process().pid() == 4242);
  v1::ConnectRequest result;
  result.mutable_command_result()->set_command_id(ordered.id());
  result.mutable_command_result()->mutable_kill_result()->set_outcome(v1::KILL_OUTCOME_GONE);
  result.mutable_command_result()->mutable_kill_result()->set_message("killed");
  sensor.Send(result);
  CHECK(sensor.Next().command_ack().command_id() == ordered.id());
  CHECK(GetCommand(ordered.id()).state() == v1::COMMAND_STATE_SUCCEEDED);
  // Repeated, it is acknowledged and changes nothing.
  result.mutable_command_result()->mutable_kill_result()->set_outcome(v1::KILL_OUTCOME_REFUSED);
  sensor.Send(result);
  CHECK(sensor.Next().command_ack().command_id() == ordered.id());
  CHECK(GetCommand(ordered.id()).kill_result().outcome() == v1::KILL_OUTCOME_GONE);
  // One that nobody knows is acknowledged too, or it would be repeated for ever.
  result.mutable_command_result()->set_command_id("00000000-0000-4000-8000-000000000000");
  sensor.Send(result);
  CHECK(sensor.Next().command_ack().command_id() == "00000000-0000-4000-8000-000000000000");
}

TEST_CASE_METHOD(Fixture, "a command reaches a connected sensor at once") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  const v1::Command ordered = Kill(77);
  CHECK(sensor.Next().command().id() == ordered.id());
}

TEST_CASE_METHOD(Fixture, "events are acknowledged through the last") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  v1::ConnectRequest request;
  for (int i = 5; i < 25; ++i) request.mutable_event_batch()->add_events()->set_sequence(i);
  sensor.Send(request);
  CHECK(sensor.Next().event_ack().through_sequence() == 24);
}

TEST_CASE_METHOD(Fixture, "a certificate is renewed over the stream, and the stream goes on") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  const KeyAndRequest fresh = MakeKeyAndRequest();
  v1::ConnectRequest request;
  request.mutable_renew_certificate()->set_certificate_request(fresh.request_der);
  sensor.Send(request);
  const v1::ConnectResponse issued = sensor.Next();
  REQUIRE(issued.has_certificate_issued());
  CHECK(issued.certificate_issued().trust_bundle_pem() == plane.authority().trust_bundle_pem());
  TestSensor renewed(plane, {.key_pem = fresh.key_pem,
                             .chain_pem = issued.certificate_issued().certificate_chain_pem(),
                             .sensor_id = identity.sensor_id});
  CHECK(renewed.Open().sensor_id() == identity.sensor_id);
}

TEST_CASE_METHOD(Fixture, "a newer stream takes over from the older") {
  TestSensor older(plane, identity);
  older.Open();
  TestSensor newer(plane, identity);
  newer.Open();
  CHECK(older.Next().goodbye().reason() == v1::GOODBYE_REASON_SUPERSEDED);
  CHECK(older.Next().message_case() == v1::ConnectResponse::MESSAGE_NOT_SET);
  CHECK_GRPC_CODE(older.Finish(), ABORTED);
  newer.SendHeartbeat(1, TestSensor::Observed());
  CHECK(newer.Next().heartbeat_response().sequence() == 1);
  // The end of the older one must not make the sensor look disconnected.
  CHECK(Get().connected());
}

TEST_CASE_METHOD(Fixture, "a stream that ends is a sensor that is not connected") {
  {
    TestSensor sensor(plane, identity);
    sensor.Open();
    CHECK(Get().connected());
    v1::ConnectRequest goodbye;
    goodbye.mutable_goodbye()->set_reason(v1::GOODBYE_REASON_SHUTDOWN);
    sensor.Send(goodbye);
    CHECK_GRPC_CODE(sensor.Finish(), OK);
  }
  CHECK_FALSE(Await([](const v1::Sensor& s) { return !s.connected(); }).connected());
}

TEST_CASE_METHOD(Fixture,
                 "revocation ends the live stream within a second, refuses what follows, and re-enrollment restores") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  v1::RevokeSensorRequest revoke;
  revoke.set_sensor("web-1");
  v1::RevokeSensorResponse revoked;
  const absl::Time ordered = absl::Now();
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::RevokeSensor, revoke, &revoked));
  CHECK(sensor.Next().goodbye().reason() == v1::GOODBYE_REASON_REVOKED);
  const grpc::Status ended = sensor.Finish();
  CHECK(absl::Now() - ordered < absl::Seconds(1));
  CHECK_GRPC_CODE(ended, UNAUTHENTICATED);
  CHECK(ReasonIn(ended) == "SENSOR_REVOKED");

  TestSensor refused(plane, identity);
  refused.SendHello();
  const grpc::Status status = refused.Finish();
  CHECK_GRPC_CODE(status, UNAUTHENTICATED);
  CHECK(ReasonIn(status) == "SENSOR_REVOKED");

  const ClientIdentity restored = plane.EnrollSensor("", "web-1");
  CHECK(restored.sensor_id == identity.sensor_id);
  TestSensor back(plane, restored);
  CHECK(back.Open().sensor_id() == identity.sensor_id);
  TestSensor with_the_old_one(plane, identity);
  CHECK(ReasonIn(with_the_old_one.Finish()) == "SENSOR_REVOKED");
}

TEST_CASE_METHOD(Fixture, "deletion ends the live stream and refuses what follows") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  v1::DeleteSensorRequest remove;
  remove.set_sensor("web-1");
  v1::DeleteSensorResponse removed;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::DeleteSensor, remove, &removed));
  CHECK(sensor.Next().goodbye().reason() == v1::GOODBYE_REASON_REVOKED);
  CHECK(ReasonIn(sensor.Finish()) == "SENSOR_DELETED");
  TestSensor refused(plane, identity);
  CHECK(ReasonIn(refused.Finish()) == "SENSOR_DELETED");
}

TEST_CASE_METHOD(Fixture, "a lost notification is made good by the sweep") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  // Behind the back of LISTEN/NOTIFY.
  plane.database().ExecuteAsSuperuser("UPDATE sensors SET desired_generation = desired_generation + 1");
  const v1::ConnectResponse push = sensor.Next();
  CHECK(push.heartbeat_response().sequence() == 0);
  CHECK(push.heartbeat_response().desired_state().generation() == 2);
}

TEST_CASE_METHOD(Fixture, "shutdown says goodbye to every sensor") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  const absl::Time begin = absl::Now();
  plane.server().Stop();
  CHECK(absl::Now() - begin < absl::Seconds(8));
  CHECK(sensor.Next().goodbye().reason() == v1::GOODBYE_REASON_SHUTDOWN);
  CHECK_GRPC_CODE(sensor.Finish(), UNAVAILABLE);
}

// Sends one message on a fresh stream (after hello, if asked for) and returns how the stream ends.
grpc::Status EndAfter(const Fixture& fixture, const v1::ConnectRequest& request, bool after_hello) {
  TestSensor sensor(fixture.plane, fixture.identity);
  if (after_hello) sensor.Open();
  sensor.Send(request);
  while (sensor.Next().message_case() != v1::ConnectResponse::MESSAGE_NOT_SET) {
  }
  return sensor.Finish();
}

TEST_CASE_METHOD(Fixture, "a stream that opens with anything but hello is ended, whatever it is") {
  for (int kind = 2; kind <= 7; ++kind) {
    v1::ConnectRequest request;
    const auto* field = v1::ConnectRequest::descriptor()->FindFieldByNumber(kind);
    request.GetReflection()->MutableMessage(&request, field);
    INFO(field->name());
    const grpc::Status status = EndAfter(*this, request, /*after_hello=*/false);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    CHECK_THAT(status.error_message(), Catch::Contains(field->name()));
  }
  CHECK_GRPC_CODE(EndAfter(*this, v1::ConnectRequest(), /*after_hello=*/false), INVALID_ARGUMENT);
  CHECK_FALSE(Get().connected());
}

TEST_CASE_METHOD(Fixture, "what breaks the protocol ends the stream") {
  v1::ConnectRequest request;
  CHECK_GRPC_CODE(EndAfter(*this, request, true), INVALID_ARGUMENT);
  request.mutable_hello()->mutable_host()->set_boot_id("second");
  CHECK_GRPC_CODE(EndAfter(*this, request, true), INVALID_ARGUMENT);
  request.mutable_heartbeat();
  CHECK(FieldIn(EndAfter(*this, request, true)) == "heartbeat.sequence");
  request.mutable_heartbeat()->set_sequence(1);
  request.mutable_heartbeat()->mutable_observed()->mutable_receipt()->set_digest("short");
  CHECK(FieldIn(EndAfter(*this, request, true)) == "observed.receipt.digest");
  request.mutable_policy_status();
  CHECK(FieldIn(EndAfter(*this, request, true)) == "policy_status.generation");
  request.mutable_event_batch();
  CHECK(FieldIn(EndAfter(*this, request, true)) == "event_batch.events");
  request.mutable_command_result()->set_command_id("x");
  CHECK_GRPC_CODE(EndAfter(*this, request, true), INVALID_ARGUMENT);
  request.mutable_renew_certificate()->set_certificate_request("no request");
  CHECK_GRPC_CODE(EndAfter(*this, request, true), INVALID_ARGUMENT);
}

TEST_CASE_METHOD(Fixture, "a host that says too much of itself is refused, and nothing of it is kept") {
  const std::string much((64 << 10) + 1, 'x');
  v1::ConnectRequest request;
  request.mutable_hello()->mutable_host()->set_boot_id("first");
  request.mutable_hello()->mutable_host()->set_hostname(much);
  CHECK(FieldIn(EndAfter(*this, request, false)) == "hello.host");
  request.mutable_hello()->mutable_host()->set_hostname("web-1");
  request.mutable_hello()->mutable_host()->set_instance_id(std::string(65, 'x'));
  CHECK(FieldIn(EndAfter(*this, request, false)) == "hello.host.instance_id");
  request.mutable_hello()->mutable_host()->clear_instance_id();
  request.mutable_hello()->mutable_host()->set_boot_id(std::string(65, 'x'));
  CHECK(FieldIn(EndAfter(*this, request, false)) == "hello.host.boot_id");
  request.mutable_hello()->mutable_host()->set_boot_id("first");
  request.mutable_hello()->mutable_capabilities()->add_mechanisms()->set_reason(much);
  CHECK(FieldIn(EndAfter(*this, request, false)) == "hello.capabilities");
  request.mutable_hello()->clear_capabilities();
  request.mutable_hello()->mutable_observed()->add_degraded(much);
  CHECK(FieldIn(EndAfter(*this, request, false)) == "observed.degraded");
  CHECK(Read(plane.store(), "web-1").report.host_info.empty());
  request.mutable_heartbeat()->set_sequence(1);
  request.mutable_heartbeat()->mutable_observed()->add_critical(much);
  CHECK(FieldIn(EndAfter(*this, request, true)) == "observed.critical");
}

TEST_CASE_METHOD(Fixture, "a message of 10 MB ends its stream and no other") {
  TestSensor sensor(plane, identity);
  sensor.Open();
  const ClientIdentity other = plane.EnrollSensor("web-2");
  TestSensor large(plane, other);
  large.Open();
  v1::ConnectRequest request;
  request.mutable_heartbeat()->set_sequence(1);
  request.mutable_heartbeat()->mutable_observed()->add_degraded(std::string(10 << 20, 'x'));
  large.Send(request);
  CHECK_GRPC_CODE(large.Finish(), RESOURCE_EXHAUSTED);
  sensor.SendHeartbeat(1, TestSensor::Observed());
  CHECK(sensor.Next().heartbeat_response().sequence() == 1);
}

TEST_CASE_METHOD(Fixture, "a stream that says nothing is ended after ten seconds") {
  TestSensor silent(plane, identity);
  const absl::Time begin = absl::Now();
  const grpc::Status status = silent.Finish();
  CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
  CHECK(absl::Now() - begin > absl::Seconds(9));
  CHECK(absl::Now() - begin < absl::Seconds(15));
}

}  // namespace
}  // namespace bulkhead::controlplane::test
