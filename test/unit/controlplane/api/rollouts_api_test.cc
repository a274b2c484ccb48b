// Labels and rollouts through the API, with sensors on real streams: the driver of the server gives the orders.
#include <catch2/catch.hpp>

#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

using Catch::Matchers::Contains;

struct Fixture {
  ControlPlane plane;
  std::shared_ptr<grpc::Channel> admin = plane.ConnectAs("admin");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(admin);
  std::unique_ptr<v1::RolloutService::Stub> rollouts = v1::RolloutService::NewStub(admin);

  ClientIdentity EnrollLabelled(const std::string& name) {
    const ClientIdentity identity = plane.EnrollSensor(name);
    v1::SetSensorLabelsRequest request;
    request.set_sensor(name);
    (*request.mutable_labels())["env"] = "prod";
    v1::SetSensorLabelsResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::SetSensorLabels, request, &response));
    CHECK(response.sensor().labels().at("env") == "prod");
    return identity;
  }
  static v1::CreateRolloutRequest Containment() {
    v1::CreateRolloutRequest request;
    request.set_label_selector("env=prod");
    request.mutable_order()->mutable_contain();
    request.set_reason("INC-42");
    return request;
  }
  grpc::Status Create(const v1::CreateRolloutRequest& request, v1::Rollout* rollout = nullptr) {
    v1::CreateRolloutResponse response;
    const grpc::Status status = Call(*rollouts, &v1::RolloutService::Stub::CreateRollout, request, &response);
    if (rollout != nullptr) *rollout = response.rollout();
    return status;
  }
};

// A sensor that puts in force what it is sent until it is contained, or refuses that.
void Obey(TestSensor& sensor, bool refuses) {
  sensor.SendHello();
  REQUIRE(sensor.Next().has_welcome());
  for (bool ordered = false; !ordered;) {
    const v1::ConnectResponse message = sensor.Next();
    REQUIRE(message.has_heartbeat_response());
    const v1::DesiredState& desired = message.heartbeat_response().desired_state();
    ordered = desired.contained();
    v1::ConnectRequest answer;
    v1::PolicyStatus& status = *answer.mutable_policy_status();
    status.set_generation(desired.generation());
    status.set_applied(!ordered || !refuses);
    if (status.applied()) {
      *status.mutable_observed() = TestSensor::Observed(desired.generation(), desired.digest());
      status.mutable_observed()->mutable_receipt()->set_complete(true);
    } else {
      status.set_message("no such hook");
    }
    sensor.Send(answer);
  }
}

struct Watch {
  Watch(v1::RolloutService::Stub& stub, const std::string& id) {
    v1::WatchRolloutRequest request;
    request.set_id(id);
    reader = stub.WatchRollout(context.get(), request);
  }
  std::unique_ptr<grpc::ClientContext> context = Context();
  std::unique_ptr<grpc::ClientReader<v1::WatchRolloutResponse>> reader;
};

TEST_CASE_METHOD(Fixture, "labels choose sensors in lists, and only an admin changes them") {
  EnrollLabelled("web-1");
  plane.EnrollSensor("db-1");
  v1::ListSensorsRequest list;
  list.set_label_selector("env=prod");
  v1::ListSensorsResponse listed;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ListSensors, list, &listed));
  REQUIRE(listed.sensors_size() == 1);
  CHECK(listed.sensors(0).name() == "web-1");
  list.set_label_selector("Env=prod");
  const grpc::Status refused = Call(*sensors, &v1::SensorService::Stub::ListSensors, list, &listed);
  CHECK_GRPC_CODE(refused, INVALID_ARGUMENT);
  CHECK(FieldIn(refused) == "label_selector");
  v1::SetSensorLabelsRequest set;
  set.set_sensor("web-1");
  v1::SetSensorLabelsResponse response;
  const auto as_operator = v1::SensorService::NewStub(plane.ConnectAs("operator"));
  CHECK_GRPC_CODE(Call(*as_operator, &v1::SensorService::Stub::SetSensorLabels, set, &response), PERMISSION_DENIED);
}

TEST_CASE_METHOD(Fixture, "a sensor that enrolls has its token's labels") {
  v1::CreateEnrollmentTokenRequest request;
  (*request.mutable_sensor_labels())["rack"] = "7";
  v1::CreateEnrollmentTokenResponse token;
  const auto stub = v1::EnrollmentService::NewStub(admin);
  REQUIRE_GRPC_OK(Call(*stub, &v1::EnrollmentService::Stub::CreateEnrollmentToken, request, &token));
  CHECK(token.token().sensor_labels().at("rack") == "7");
  const KeyAndRequest made = MakeKeyAndRequest();
  v1::EnrollRequest enroll;
  enroll.set_token(token.secret());
  enroll.set_name("web-1");
  enroll.set_certificate_request(made.request_der);
  v1::EnrollResponse enrolled;
  REQUIRE_GRPC_OK(Call(*stub, &v1::EnrollmentService::Stub::Enroll, enroll, &enrolled));
  v1::GetSensorRequest get;
  get.set_sensor("web-1");
  v1::GetSensorResponse sensor;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::GetSensor, get, &sensor));
  CHECK(sensor.sensor().labels().at("rack") == "7");
}

TEST_CASE_METHOD(Fixture, "a rollout reaches the sensors by itself, and its watch ends when it does") {
  const ClientIdentity first = EnrollLabelled("web-1");
  const ClientIdentity second = EnrollLabelled("web-2");
  v1::CreateRolloutRequest request = Containment();
  request.set_request_id("r-1");
  v1::Rollout rollout;
  REQUIRE_GRPC_OK(Create(request, &rollout));
  CHECK(rollout.pending() == 2);
  CHECK(rollout.order().has_contain());
  v1::Rollout again;
  REQUIRE_GRPC_OK(Create(request, &again));
  CHECK(again.id() == rollout.id());

  Watch watch(*rollouts, rollout.id());
  TestSensor one(plane, first), two(plane, second);
  Obey(one, false);
  Obey(two, false);
  v1::WatchRolloutResponse change;
  int changes = 0;
  while (watch.reader->Read(&change)) ++changes;
  CHECK(watch.reader->Finish().ok());
  CHECK(changes >= 2);
  CHECK(change.rollout().state() == v1::ROLLOUT_STATE_DONE);
  CHECK(change.rollout().enforced() == 2);
  CHECK(change.rollout().has_ended_at());
}

TEST_CASE_METHOD(Fixture, "a refusal halts; resume and cancel; each sensor says what became of it") {
  const ClientIdentity first = EnrollLabelled("web-1");
  EnrollLabelled("web-2");
  v1::CreateRolloutRequest request = Containment();
  request.mutable_limits()->set_max_in_flight(1);
  v1::Rollout rollout;
  REQUIRE_GRPC_OK(Create(request, &rollout));
  Watch watch(*rollouts, rollout.id());
  TestSensor sensor(plane, first);
  Obey(sensor, true);
  v1::WatchRolloutResponse change;
  while (watch.reader->Read(&change) && change.rollout().state() != v1::ROLLOUT_STATE_HALTED) {
  }
  CHECK_THAT(change.rollout().halted_because(), Contains("web-1") && Contains("no such hook"));
  CHECK(change.rollout().pending() == 1);

  v1::ListRolloutTargetsRequest list;
  list.set_id(rollout.id());
  list.set_state(v1::ROLLOUT_TARGET_STATE_FAILED);
  v1::ListRolloutTargetsResponse targets;
  REQUIRE_GRPC_OK(Call(*rollouts, &v1::RolloutService::Stub::ListRolloutTargets, list, &targets));
  REQUIRE(targets.targets_size() == 1);
  CHECK(targets.targets(0).sensor_name() == "web-1");
  CHECK_THAT(targets.targets(0).message(), Contains("no such hook"));

  v1::ResumeRolloutRequest resume;
  resume.set_id(rollout.id());
  v1::ResumeRolloutResponse resumed;
  REQUIRE_GRPC_OK(Call(*rollouts, &v1::RolloutService::Stub::ResumeRollout, resume, &resumed));
  CHECK(resumed.rollout().state() == v1::ROLLOUT_STATE_RUNNING);
  while (watch.reader->Read(&change) && change.rollout().ordered() == 0) {
  }
  v1::CancelRolloutRequest cancel;
  cancel.set_id(rollout.id());
  v1::CancelRolloutResponse cancelled;
  REQUIRE_GRPC_OK(Call(*rollouts, &v1::RolloutService::Stub::CancelRollout, cancel, &cancelled));
  CHECK(cancelled.rollout().state() == v1::ROLLOUT_STATE_CANCELLED);
  while (watch.reader->Read(&change)) {
  }
  CHECK(watch.reader->Finish().ok());
  CHECK(change.rollout().state() == v1::ROLLOUT_STATE_CANCELLED);
  const grpc::Status ended = Call(*rollouts, &v1::RolloutService::Stub::CancelRollout, cancel, &cancelled);
  CHECK_GRPC_CODE(ended, FAILED_PRECONDITION);
  CHECK(ReasonIn(ended) == "ROLLOUT_ENDED");
}

TEST_CASE_METHOD(Fixture, "bad rollouts are refused by field, and nothing is stored") {
  EnrollLabelled("web-1");
  const auto refused = [&](const std::function<void(v1::CreateRolloutRequest&)>& spoil) {
    v1::CreateRolloutRequest request = Containment();
    spoil(request);
    const grpc::Status status = Create(request);
    CHECK_GRPC_CODE(status, INVALID_ARGUMENT);
    return FieldIn(status);
  };
  CHECK(refused([](auto& r) { r.clear_order(); }) == "order");
  CHECK(refused([](auto& r) { r.clear_label_selector(); }) == "label_selector");
  CHECK(refused([](auto& r) { r.set_label_selector("a=b,"); }) == "label_selector");
  CHECK(refused([](auto& r) { r.set_all_sensors(true); }) == "all_sensors");
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_contain()->set_sensor("web-1"); }) == "order.contain.sensor");
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_release()->set_reason("x"); }) == "order.release.reason");
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_isolate()->set_etag("7"); }) == "order.isolate.etag");
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_isolate()->set_request_id("x"); }) ==
        "order.isolate.request_id");
  CHECK(refused([](auto& r) { r.mutable_limits()->set_max_failures(20'000); }) == "limits.max_failures");
  CHECK(refused([](auto& r) { r.set_reason(std::string(513, 'x')); }) == "reason");
  // Wrong for every sensor: found by trying it on one.
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_contain()->mutable_lease(); }) == "order.contain.lease");
  CHECK(refused([](auto& r) { r.mutable_order()->mutable_block_binary()->mutable_binary()->set_path("bin/nc"); }) ==
        "order.block_binary.binary.path");
  v1::CreateRolloutRequest nobody = Containment();
  nobody.set_label_selector("env=lab");
  const grpc::Status none = Create(nobody);
  CHECK_GRPC_CODE(none, FAILED_PRECONDITION);
  CHECK(ReasonIn(none) == "NO_SENSOR_MATCHES");
  v1::CreateRolloutRequest dry = Containment();
  dry.set_validate_only(true);
  v1::Rollout checked;
  REQUIRE_GRPC_OK(Create(dry, &checked));
  CHECK(checked.pending() == 1);
  CHECK(checked.id().empty());
  CHECK(plane.database().Value("SELECT count(*) FROM rollouts") == "0");
  CHECK(plane.database().Value("SELECT count(*) FROM enforcement_policies") == "0");
}

TEST_CASE_METHOD(Fixture, "a rollout that is not there cannot be watched or listed, nor can what is no id") {
  for (const auto& [id, code] : {std::pair("123e4567-e89b-42d3-a456-426614174000", grpc::StatusCode::NOT_FOUND),
                                 std::pair("web-1", grpc::StatusCode::INVALID_ARGUMENT)}) {
    Watch watch(*rollouts, id);
    v1::WatchRolloutResponse change;
    CHECK_FALSE(watch.reader->Read(&change));
    CHECK(watch.reader->Finish().error_code() == code);
    v1::ListRolloutTargetsRequest list;
    list.set_id(id);
    v1::ListRolloutTargetsResponse targets;
    CHECK(Call(*rollouts, &v1::RolloutService::Stub::ListRolloutTargets, list, &targets).error_code() == code);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane::test
