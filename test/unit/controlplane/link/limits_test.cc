// What bounds a stream and how many there are: age, certificate, number.
#include <catch2/catch.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
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

// Calls of one stub, one after the other, until `end`; how many were answered and how many refused for a limit.
struct Calls {
  int answered = 0;
  int limited = 0;
  int untyped = 0;  // refused without the reason or RetryInfo
};
Calls CallUntil(v1::SensorService::Stub& stub, absl::Time end) {
  Calls calls;
  while (absl::Now() < end) {
    v1::ListSensorsResponse response;
    const grpc::Status status = Call(stub, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &response);
    if (status.ok()) ++calls.answered;
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) continue;
    const bool typed = absl::StartsWith(ReasonIn(status), "PEER_") &&
                       status.error_details().find("google.rpc.RetryInfo") != std::string::npos;
    ++(typed ? calls.limited : calls.untyped);
  }
  return calls;
}

TEST_CASE("a flood of calls of one operator is refused above its rate, and another operator is served meanwhile") {
  ControlPlane plane([](Options& options) { options.peer_call_rate = 20; });
  const auto flooder = v1::SensorService::NewStub(plane.ConnectAs("viewer"));
  const auto other = v1::SensorService::NewStub(plane.ConnectAs("viewer"));
  const absl::Time end = absl::Now() + absl::Seconds(2);
  std::vector<std::thread> threads;
  std::vector<Calls> floods(4);
  for (Calls& flood : floods) threads.emplace_back([&] { flood = CallUntil(*flooder, end); });
  int served = 0;
  while (absl::Now() < end) {
    v1::ListSensorsResponse response;
    REQUIRE_GRPC_OK(Call(*other, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &response));
    ++served;
    absl::SleepFor(absl::Milliseconds(100));
  }
  for (std::thread& thread : threads) thread.join();
  int answered = 0;
  int limited = 0;
  for (const Calls& flood : floods) {
    answered += flood.answered;
    limited += flood.limited;
    CHECK(flood.untyped == 0);
  }
  INFO("the flood: " << answered << " answered, " << limited << " refused; the other: " << served);
  // Two seconds of the rate at once, and two more as they pass.
  CHECK(answered <= 82);
  CHECK(limited > 0);
  CHECK(served > 3);
}

TEST_CASE("one identity has so many calls and watches at once; when one ends, another may begin") {
  ControlPlane plane([](Options& options) { options.peer_calls = 3; });
  plane.EnrollSensor("web-1");
  const auto channel = plane.ConnectAs("viewer");
  const auto stub = v1::SensorService::NewStub(channel);
  struct Watch {
    std::unique_ptr<grpc::ClientContext> context = Context();
    std::unique_ptr<grpc::ClientReader<v1::WatchSensorsResponse>> reader;
  };
  std::vector<Watch> watches(3);
  for (Watch& watch : watches) {
    watch.reader = stub->WatchSensors(watch.context.get(), v1::WatchSensorsRequest());
    // It is there, before anything else is asked.
    v1::WatchSensorsResponse first;
    REQUIRE(watch.reader->Read(&first));
  }
  const auto list = [&] {
    v1::ListSensorsResponse response;
    return Call(*stub, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &response);
  };
  grpc::Status status = list();
  CHECK(ReasonIn(status) == "PEER_CALL_LIMIT");
  // Another identity is not concerned.
  const auto other = v1::SensorService::NewStub(plane.ConnectAs("viewer"));
  v1::ListSensorsResponse response;
  CHECK_GRPC_CODE(Call(*other, &v1::SensorService::Stub::ListSensors, v1::ListSensorsRequest(), &response), OK);
  watches[0].context->TryCancel();
  for (int i = 0; i < 50 && !status.ok(); ++i) {
    absl::SleepFor(absl::Milliseconds(100));
    status = list();
  }
  CHECK_GRPC_CODE(status, OK);
  for (Watch& watch : watches) {
    watch.context->TryCancel();
    watch.reader->Finish();
  }
}

}  // namespace
}  // namespace bulkhead::controlplane::test
