// WatchSensors: first what is, then what changes, and a slow watcher that delays nobody.
#include <catch2/catch.hpp>

#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

struct Fixture {
  ControlPlane plane;
  ClientIdentity web = plane.EnrollSensor("web-1");
  ClientIdentity db = plane.EnrollSensor("db-1");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  void Contain(const std::string& sensor) {
    v1::ContainSensorRequest request;
    request.set_sensor(sensor);
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
  }
  void Delete(const std::string& sensor) {
    v1::DeleteSensorRequest request;
    request.set_sensor(sensor);
    v1::DeleteSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::DeleteSensor, request, &response));
  }
};

struct Watch {
  Watch(v1::SensorService::Stub& stub, const std::vector<std::string>& chosen) {
    v1::WatchSensorsRequest request;
    for (const std::string& sensor : chosen) request.add_sensors(sensor);
    reader = stub.WatchSensors(context.get(), request);
  }
  ~Watch() {
    context->TryCancel();
    reader->Finish();
  }
  v1::WatchSensorsResponse Next() {
    v1::WatchSensorsResponse response;
    REQUIRE(reader->Read(&response));
    return response;
  }

  std::unique_ptr<grpc::ClientContext> context = Context();
  std::unique_ptr<grpc::ClientReader<v1::WatchSensorsResponse>> reader;
};

TEST_CASE_METHOD(Fixture, "all sensors as they are, then each change, then a deletion") {
  Watch watch(*sensors, {});
  CHECK(watch.Next().sensor().name() == "db-1");
  CHECK(watch.Next().sensor().name() == "web-1");
  const absl::Time ordered = absl::Now();
  Contain("web-1");
  const v1::WatchSensorsResponse contained = watch.Next();
  CHECK(absl::Now() - ordered < absl::Seconds(2));
  CHECK(contained.sensor().name() == "web-1");
  CHECK(contained.sensor().is_contained());
  Delete("db-1");
  const v1::WatchSensorsResponse gone = watch.Next();
  CHECK(gone.deleted());
  CHECK(gone.sensor().name() == "db-1");
  CHECK(gone.sensor().id() == db.sensor_id);
}

TEST_CASE_METHOD(Fixture, "only the chosen sensors, by name or id") {
  Watch watch(*sensors, {web.sensor_id});
  CHECK(watch.Next().sensor().name() == "web-1");
  Contain("db-1");
  Contain("web-1");
  CHECK(watch.Next().sensor().name() == "web-1");
}

TEST_CASE_METHOD(Fixture, "what a sensor reports is seen at once") {
  Watch watch(*sensors, {"web-1"});
  CHECK_FALSE(watch.Next().sensor().connected());
  TestSensor sensor(plane, web);
  const v1::DesiredState desired = sensor.Open();
  sensor.SendHeartbeat(1, TestSensor::Observed(desired.generation(), desired.digest()));
  const absl::Time begin = absl::Now();
  while (watch.Next().sensor().convergence() != v1::CONVERGENCE_STATE_SYNCED) {
  }
  CHECK(absl::Now() - begin < absl::Seconds(2));
}

TEST_CASE_METHOD(Fixture, "an unknown sensor cannot be watched, and too many cannot be chosen") {
  for (const auto& [chosen, code, field] :
       {std::tuple(std::vector<std::string>{"web-9"}, grpc::StatusCode::NOT_FOUND, ""),
        std::tuple(std::vector<std::string>{"web-1", "B A D"}, grpc::StatusCode::INVALID_ARGUMENT, "sensors[1]"),
        std::tuple(std::vector<std::string>(1001, "web-1"), grpc::StatusCode::INVALID_ARGUMENT, "sensors")}) {
    v1::WatchSensorsRequest request;
    for (const std::string& sensor : chosen) request.add_sensors(sensor);
    const auto context = Context();
    const auto reader = sensors->WatchSensors(context.get(), request);
    v1::WatchSensorsResponse response;
    CHECK_FALSE(reader->Read(&response));
    const grpc::Status status = reader->Finish();
    INFO(Show(status));
    CHECK(status.error_code() == code);
    CHECK(FieldIn(status) == field);
  }
}

TEST_CASE_METHOD(Fixture, "a watcher that does not read delays nobody, and sees the latest state when it does") {
  Watch slow(*sensors, {"web-1"});
  Watch quick(*sensors, {"web-1"});
  slow.Next();
  quick.Next();
  for (int i = 0; i < 20; ++i) {
    Contain("web-1");
    CHECK(quick.Next().sensor().is_contained());
    v1::ReleaseSensorRequest release;
    release.set_sensor("web-1");
    v1::ReleaseSensorResponse released;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ReleaseSensor, release, &released));
    CHECK_FALSE(quick.Next().sensor().is_contained());
  }
  const uint64_t last = 41;
  while (slow.Next().sensor().desired_generation() != last) {
  }
}

TEST_CASE_METHOD(Fixture, "shutdown ends a watch") {
  Watch watch(*sensors, {"web-1"});
  watch.Next();
  plane.server().Stop();
  v1::WatchSensorsResponse response;
  while (watch.reader->Read(&response)) {
  }
}

}  // namespace
}  // namespace bulkhead::controlplane::test
