// Heartbeats that say nothing new are collected; those that say something are not.
#include <catch2/catch.hpp>

#include "absl/synchronization/notification.h"
#include "controlplane/domain/errors.h"
#include "controlplane/link/heartbeat_batcher.h"
#include "harness/status_matchers.h"
#include "store/fleet.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity identity = plane.EnrollSensor("web-1");

  std::string History() { return plane.database().Value("SELECT count(*) FROM heartbeats"); }
};

TEST_CASE_METHOD(Fixture, "plain heartbeats are answered and kept; what changes is stored before its answer") {
  TestSensor sensor(plane, identity);
  const v1::DesiredState desired = sensor.Open();
  v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
  for (uint64_t i = 1; i <= 5; ++i) {
    sensor.SendHeartbeat(i, observed);
    const v1::HeartbeatResponse answer = sensor.Next().heartbeat_response();
    CHECK(answer.sequence() == i);
    CHECK(answer.unchanged());
  }
  CHECK(History() == "5");
  observed.add_critical("a layer went silent");
  sensor.SendHeartbeat(6, observed);
  CHECK(sensor.Next().heartbeat_response().sequence() == 6);
  CHECK(Read(plane.store(), "web-1").report.critical == std::vector<std::string>{"a layer went silent"});
  // A kernel that lost its rules is told at once what it should have.
  sensor.SendHeartbeat(7, TestSensor::Observed());
  CHECK(sensor.Next().heartbeat_response().desired_state().generation() == desired.generation());
}

TEST_CASE_METHOD(Fixture, "a report that was lost with a primary comes back with the heartbeats") {
  TestSensor sensor(plane, identity);
  const v1::DesiredState desired = sensor.Open();
  const v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
  sensor.SendHeartbeat(1, observed);
  REQUIRE(sensor.Next().heartbeat_response().sequence() == 1);
  REQUIRE(Read(plane.store(), "web-1").report.observed_generation == desired.generation());
  // As on a standby that took over and never had it.
  plane.database().Execute(
      "UPDATE sensor_reports SET report_number = 0, observed_generation = 0, observed_digest = ''");
  for (uint64_t i = 2; i <= 3; ++i) {
    sensor.SendHeartbeat(i, observed);
    const v1::HeartbeatResponse answer = sensor.Next().heartbeat_response();
    CHECK(answer.sequence() == i);
    CHECK(answer.unchanged());
  }
  CHECK(Read(plane.store(), "web-1").report.observed_generation == desired.generation());
  CHECK(Read(plane.store(), "web-1").report.observed_digest == desired.digest());
}

TEST_CASE_METHOD(Fixture, "an order meets a heartbeat that is being collected, and neither is lost") {
  TestSensor sensor(plane, identity);
  const v1::DesiredState desired = sensor.Open();
  const v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
  sensor.SendHeartbeat(1, observed);
  CHECK(sensor.Next().heartbeat_response().sequence() == 1);
  for (uint64_t round = 0; round < 10; ++round) {
    sensor.SendHeartbeat(2 * round + 2, observed);
    sensor.SendHeartbeat(2 * round + 3, observed);
    REQUIRE_OK(Kill(plane.store(), "web-1", static_cast<uint32_t>(100 + round)));
    int answers = 0;
    int commands = 0;
    while (answers < 2 || commands < 1) {
      const v1::ConnectResponse next = sensor.Next();
      REQUIRE(next.message_case() != v1::ConnectResponse::MESSAGE_NOT_SET);
      answers += next.heartbeat_response().sequence() >= 2 * round + 2;
      commands += next.has_command();
    }
    CHECK(commands == 1);
  }
}

TEST_CASE_METHOD(Fixture, "a stream that was superseded learns it from a plain heartbeat") {
  TestSensor older(plane, identity);
  const v1::DesiredState desired = older.Open();
  const v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
  older.SendHeartbeat(1, observed);
  REQUIRE(older.Next().heartbeat_response().sequence() == 1);
  // As another replica would, but without telling this one.
  plane.database().Execute("UPDATE sensor_reports SET session_epoch = session_epoch + 1");
  older.SendHeartbeat(2, observed);
  CHECK(older.Next().goodbye().reason() == v1::GOODBYE_REASON_SUPERSEDED);
  CHECK_GRPC_CODE(older.Finish(), ABORTED);
}

TEST_CASE_METHOD(Fixture, "what is collected at shutdown is stored; what comes after is refused") {
  const Ownership owner = OpenStream(plane.store(), identity.sensor_id);
  HeartbeatBatcher batcher(&plane.store());
  absl::StatusOr<OrderedState> first = absl::UnknownError("no answer");
  absl::StatusOr<OrderedState> late = absl::UnknownError("no answer");
  batcher.Add({owner, 1, "last words"}, [&](absl::StatusOr<OrderedState> answer) { first = std::move(answer); });
  batcher.Stop();
  REQUIRE_OK(first);
  CHECK(Read(plane.store(), "web-1").report.observed == "last words");
  batcher.Add({owner, 2, "too late"}, [&](absl::StatusOr<OrderedState> answer) { late = std::move(answer); });
  CHECK_CODE(late, kUnavailable);
}

TEST_CASE_METHOD(Fixture, "a thousand heartbeats at once are a few statements, and each has its own answer") {
  const Ownership owner = OpenStream(plane.store(), identity.sensor_id);
  HeartbeatBatcher batcher(&plane.store());
  std::atomic<int> stored = 0;
  std::atomic<int> unknown = 0;
  for (uint64_t i = 1; i <= 1500; ++i) {
    const Ownership whose = i % 2 == 0 ? owner : Ownership{NewUuid(), 1};
    batcher.Add({whose, i, "x"}, [&](const absl::StatusOr<OrderedState>& answer) {
      stored += answer.ok();
      unknown += absl::IsNotFound(answer.status());
    });
  }
  batcher.Stop();
  CHECK(stored == 750);
  CHECK(unknown == 750);
  CHECK(std::stoi(History()) <= 5);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
