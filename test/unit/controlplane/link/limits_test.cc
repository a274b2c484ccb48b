// What bounds a stream and how many there are: age, certificate, number.
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

// Reads to the end of a stream that is ended with a goodbye for a reconnect, and says after how long.
absl::Duration EndsForReconnect(TestSensor& sensor, absl::Time begin) {
  CHECK(sensor.Next().goodbye().reason() == v1::GOODBYE_REASON_SHUTDOWN);
  CHECK(sensor.Next().message_case() == v1::ConnectResponse::MESSAGE_NOT_SET);
  CHECK_GRPC_CODE(sensor.Finish(), UNAVAILABLE);
  return absl::Now() - begin;
}

TEST_CASE("a stream that reached its age ends, and the next one is as good") {
  ControlPlane plane([](Options& options) { options.max_stream_age = absl::Seconds(3); });
  const ClientIdentity identity = plane.EnrollSensor("web-1");
  TestSensor sensor(plane, identity);
  const absl::Time begin = absl::Now();
  sensor.Open();
  const absl::Duration age = EndsForReconnect(sensor, begin);
  CHECK(age > absl::Seconds(2.5));
  CHECK(age < absl::Seconds(8));
  TestSensor next(plane, identity);
  next.Open();
}

TEST_CASE("a stream ends when its certificate expires, and the next is refused for it") {
  ControlPlane plane([](Options& options) { options.sensor_certificate_life = absl::Seconds(4); });
  const absl::Time begin = absl::Now();
  const ClientIdentity identity = plane.EnrollSensor("web-1");
  TestSensor sensor(plane, identity);
  sensor.Open();
  CHECK(EndsForReconnect(sensor, begin) < absl::Seconds(12));
  TestSensor refused(plane, identity);
  const grpc::Status status = refused.Finish();
  CHECK_GRPC_CODE(status, UNAUTHENTICATED);
  CHECK(ReasonIn(status) == "CERTIFICATE_EXPIRED");
}

TEST_CASE("a replica that is full refuses further sensors with when to come back, and takes one when one leaves") {
  ControlPlane plane([](Options& options) { options.max_streams = 2; });
  const ClientIdentity third = plane.EnrollSensor("web-3");
  auto first = std::make_unique<TestSensor>(plane, plane.EnrollSensor("web-1"));
  TestSensor second(plane, plane.EnrollSensor("web-2"));
  first->Open();
  second.Open();
  TestSensor refused(plane, third);
  const grpc::Status status = refused.Finish();
  CHECK_GRPC_CODE(status, RESOURCE_EXHAUSTED);
  CHECK(status.error_details().find("google.rpc.RetryInfo") != std::string::npos);
  first.reset();
  bool taken = false;
  for (int i = 0; i < 50 && !taken; ++i) {
    absl::SleepFor(absl::Milliseconds(100));
    TestSensor again(plane, third);
    again.SendHello();
    taken = again.Next().has_welcome();
  }
  CHECK(taken);
}

TEST_CASE("one identity cannot fill a replica with streams that say nothing") {
  ControlPlane plane;
  const ClientIdentity flooder = plane.EnrollSensor("web-1");
  const ClientIdentity other = plane.EnrollSensor("web-2");
  std::vector<std::unique_ptr<TestSensor>> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(std::make_unique<TestSensor>(plane, flooder));
  absl::SleepFor(absl::Seconds(2));
  CHECK(plane.server().streams() <= 8);
  TestSensor sensor(plane, other);
  sensor.Open();
  int refused = 0;
  for (const auto& stream : silent) {
    // Those that were admitted are ended too, when their hello does not come.
    refused += stream->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ? 1 : 0;
  }
  CHECK(refused == 12);
}

}  // namespace
}  // namespace bulkhead::controlplane::test
