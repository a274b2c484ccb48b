// Two replicas on one database: an order given to one reaches a sensor at the other, a sensor moves between them, and
// none of it needs a notification to arrive.
#include <catch2/catch.hpp>

#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

// A sweep runs every five seconds; one more second for what it finds to be sent.
constexpr absl::Duration kOneSweep = absl::Seconds(6);

// From here on pg_notify, as a new connection finds it, does nothing: what a connection pooler does to LISTEN.
void LoseNotifications(const ControlPlane& plane) {
  plane.database().ExecuteAsSuperuser("CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''");
  plane.database().ExecuteAsSuperuser(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END "
      "$$");
}

struct Fixture {
  ControlPlane plane;
  ClientIdentity identity = plane.EnrollSensor("web-1");
  std::unique_ptr<Server> second = plane.StartReplica("second-replica");
  std::unique_ptr<v1::SensorService::Stub> first_api = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  TestSensor SensorAt(Server& replica) { return TestSensor(plane.ConnectTo(replica, identity)); }
  void StartAgain() {
    second = plane.StartReplica("third-replica");
    plane.Restart();
    first_api = v1::SensorService::NewStub(plane.ConnectAs("admin"));
  }
  void Contain() {
    v1::ContainSensorRequest request;
    request.set_sensor("web-1");
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*first_api, &v1::SensorService::Stub::ContainSensor, request, &response));
  }
  std::string Kill(uint32_t pid) {
    v1::KillProcessRequest request;
    request.set_sensor("web-1");
    request.mutable_process()->set_pid(pid);
    v1::KillProcessResponse response;
    REQUIRE_GRPC_OK(Call(*first_api, &v1::SensorService::Stub::KillProcess, request, &response));
    return response.command().id();
  }
  bool Connected() {
    v1::GetSensorRequest request;
    request.set_sensor("web-1");
    v1::GetSensorResponse response;
    REQUIRE_GRPC_OK(Call(*first_api, &v1::SensorService::Stub::GetSensor, request, &response));
    return response.sensor().connected();
  }
};

TEST_CASE_METHOD(Fixture, "orders given to one replica reach the sensor at the other at once") {
  TestSensor sensor = SensorAt(*second);
  sensor.Open();
  const absl::Time ordered = absl::Now();
  Contain();
  CHECK(sensor.Next().heartbeat_response().desired_state().generation() == 2);
  const std::string kill = Kill(4242);
  CHECK(sensor.Next().command().id() == kill);
  // Far below a sweep: it was the notification.
  CHECK(absl::Now() - ordered < absl::Seconds(2));
  CHECK(Connected());
}

TEST_CASE_METHOD(Fixture, "with notifications lost they reach it within a sweep, each once") {
  LoseNotifications(plane);
  StartAgain();
  TestSensor sensor = SensorAt(*second);
  sensor.Open();
  absl::Time ordered = absl::Now();
  Contain();
  CHECK(sensor.Next().heartbeat_response().desired_state().generation() == 2);
  CHECK(absl::Now() - ordered < kOneSweep);
  ordered = absl::Now();
  const std::string kill = Kill(4242);
  CHECK(sensor.Next().command().id() == kill);
  CHECK(absl::Now() - ordered < kOneSweep);
  // Nothing is sent twice by the sweeps that follow.
  absl::SleepFor(kOneSweep);
  sensor.SendHeartbeat(1, TestSensor::Observed());
  CHECK(sensor.Next().heartbeat_response().sequence() == 1);
}

void MovesWithin(Fixture& fixture, absl::Duration limit) {
  TestSensor older = fixture.SensorAt(fixture.plane.server());
  older.Open();
  TestSensor newer = fixture.SensorAt(*fixture.second);
  newer.Open();
  const absl::Time moved = absl::Now();
  CHECK(older.Next().goodbye().reason() == v1::GOODBYE_REASON_SUPERSEDED);
  const grpc::Status ended = older.Finish();
  CHECK_GRPC_CODE(ended, ABORTED);
  CHECK(ReasonIn(ended) == "STREAM_SUPERSEDED");
  CHECK(absl::Now() - moved < limit);
  CHECK(fixture.Connected());
  newer.SendHeartbeat(1, TestSensor::Observed());
  CHECK(newer.Next().heartbeat_response().sequence() == 1);
}

TEST_CASE_METHOD(Fixture, "a sensor that moves to another replica: its older stream is ended at once") {
  MovesWithin(*this, absl::Seconds(2));
}

TEST_CASE_METHOD(Fixture, "with notifications lost its older stream is ended within a sweep") {
  LoseNotifications(plane);
  StartAgain();
  MovesWithin(*this, kOneSweep);
}

TEST_CASE_METHOD(Fixture, "what an older stream says is not stored, and ends it without waiting for a sweep") {
  LoseNotifications(plane);
  StartAgain();
  TestSensor older = SensorAt(plane.server());
  older.Open();
  const std::string kill = Kill(4242);
  REQUIRE(older.Next().command().id() == kill);
  TestSensor newer = SensorAt(*second);
  newer.Open();
  REQUIRE(newer.Next().command().id() == kill);
  v1::ConnectRequest result;
  result.mutable_command_result()->set_command_id(kill);
  result.mutable_command_result()->mutable_kill_result()->set_outcome(v1::KILL_OUTCOME_GONE);
  older.Send(result);
  CHECK(older.Next().goodbye().reason() == v1::GOODBYE_REASON_SUPERSEDED);
  CHECK(plane.database().Value("SELECT state FROM commands") == "delivered");
  newer.Send(result);
  CHECK(newer.Next().command_ack().command_id() == kill);
  CHECK(plane.database().Value("SELECT state FROM commands") == "succeeded");
}

void RevokedWithin(Fixture& fixture, absl::Duration limit) {
  // One sensor at each replica: each must hear of it, the one that is told and the one that is not.
  const ClientIdentity other = fixture.plane.EnrollSensor("web-2");
  TestSensor here(fixture.plane.ConnectTo(fixture.plane.server(), other));
  TestSensor there = fixture.SensorAt(*fixture.second);
  here.Open();
  there.Open();
  const absl::Time revoked = absl::Now();
  for (const char* const name : {"web-1", "web-2"}) {
    v1::RevokeSensorRequest request;
    request.set_sensor(name);
    v1::RevokeSensorResponse response;
    REQUIRE_GRPC_OK(Call(*fixture.first_api, &v1::SensorService::Stub::RevokeSensor, request, &response));
  }
  for (TestSensor* sensor : {&here, &there}) {
    CHECK(sensor->Next().goodbye().reason() == v1::GOODBYE_REASON_REVOKED);
    const grpc::Status ended = sensor->Finish();
    CHECK_GRPC_CODE(ended, UNAUTHENTICATED);
    CHECK(ReasonIn(ended) == "SENSOR_REVOKED");
  }
  const absl::Duration took = absl::Now() - revoked;
  INFO("closed after " << took);
  CHECK(took < limit);
  // The next call, at any replica, whether or not it has heard: the gate asks the database.
  for (Server* replica : {&fixture.plane.server(), fixture.second.get()}) {
    CHECK(ReasonIn(fixture.SensorAt(*replica).Finish()) == "SENSOR_REVOKED");
  }
}

TEST_CASE_METHOD(Fixture, "a revocation closes the live streams of both replicas within a second") {
  RevokedWithin(*this, absl::Seconds(1));
}

TEST_CASE_METHOD(Fixture, "with notifications lost a revocation closes them within a sweep") {
  LoseNotifications(plane);
  StartAgain();
  RevokedWithin(*this, kOneSweep);
}

TEST_CASE_METHOD(Fixture, "a replica that ends takes its sensors' connections with it, and no other's") {
  TestSensor sensor = SensorAt(*second);
  sensor.Open();
  CHECK(Connected());
  second->Stop();
  CHECK(sensor.Next().goodbye().reason() == v1::GOODBYE_REASON_SHUTDOWN);
  CHECK_FALSE(Connected());
  TestSensor again = SensorAt(plane.server());
  again.Open();
  CHECK(Connected());
}

}  // namespace
}  // namespace bulkhead::controlplane::test
