// The control plane seen from outside: metrics that move when something happens, health by service, and request ids.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <regex>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "harness/http_get.h"
#include "harness/status_matchers.h"
#include "unit/controlplane/link/test_sensor.h"

namespace bulkhead::controlplane::test {
namespace {

using bulkhead::test::HttpRequest;
using bulkhead::test::MetricIn;
using HealthStub = grpc::health::v1::Health::Stub;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

struct Fixture {
  ControlPlane plane{[](Options& options) { options.metrics_listen = "127.0.0.1:0"; }};
  ClientIdentity web = plane.EnrollSensor("web-1");
  std::unique_ptr<v1::SensorService::Stub> sensors = v1::SensorService::NewStub(plane.ConnectAs("admin"));

  std::string Metrics() { return HttpRequest(plane.server().metrics_port(), "/metrics").body; }
  double Metric(const std::string& series) { return MetricIn(Metrics(), series); }
  // Waits for what a thread of the server counts a moment later.
  bool Becomes(const std::string& series, const std::function<bool(double)>& wanted) {
    for (const absl::Time limit = absl::Now() + absl::Seconds(15); absl::Now() < limit;) {
      if (wanted(Metric(series))) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    UNSCOPED_INFO(series << " is " << Metric(series));
    return false;
  }
  bool Reaches(const std::string& series, double wanted) {
    return Becomes(series, [wanted](double is) { return is == wanted; });
  }
  v1::EnforcementPolicy Contain(const std::string& request_id) {
    v1::ContainSensorRequest request;
    request.set_sensor("web-1");
    request.set_request_id(request_id);
    v1::ContainSensorResponse response;
    REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response));
    return response.policy();
  }
};

// What a sensor reports that has `desired` in force, with a wall that is proved or not.
v1::ObservedState InForce(const v1::DesiredState& desired, bool proved) {
  v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
  observed.mutable_receipt()->set_complete(proved);
  observed.set_contained(true);
  for (const auto& policy : desired.enforcement_policies()) observed.add_policies()->set_policy_id(policy.id());
  return observed;
}

TEST_CASE_METHOD(Fixture, "an order counts once however often it is repeated, and once more when it changes nothing") {
  const std::string applied = "bulkhead_orders_total{action=\"sensor_contained\",outcome=\"applied\"}";
  Contain("one");
  Contain("one");
  CHECK(Metric(applied) == 1);
  Contain("two");
  CHECK(Metric(applied) == 1);
  CHECK(Metric("bulkhead_orders_total{action=\"sensor_contained\",outcome=\"unchanged\"}") == 1);
}

TEST_CASE_METHOD(Fixture, "an order that is undone is not counted") {
  v1::ContainSensorRequest request;
  request.set_sensor("web-1");
  request.set_etag("stale");
  v1::ContainSensorResponse response;
  CHECK_GRPC_CODE(Call(*sensors, &v1::SensorService::Stub::ContainSensor, request, &response), ABORTED);
  CHECK(Metric("bulkhead_orders_total{action=\"sensor_contained\",outcome=\"applied\"}") == -1);
}

TEST_CASE_METHOD(Fixture, "time to containment ends with the first receipt of a proved wall, and is counted once") {
  const std::string count = "bulkhead_order_enforced_seconds_count{template=\"network-containment\"}";
  TestSensor sensor(plane, web);
  sensor.Open();
  Contain("now");
  const v1::DesiredState desired = sensor.Next().heartbeat_response().desired_state();
  REQUIRE(desired.enforcement_policies_size() == 1);
  sensor.SendHeartbeat(1, InForce(desired, /*proved=*/false));
  sensor.Next();
  CHECK(Metric(count) == 0);
  sensor.SendHeartbeat(2, InForce(desired, /*proved=*/true));
  sensor.Next();
  CHECK(Reaches(count, 1));
  const double seconds = Metric("bulkhead_order_enforced_seconds_sum{template=\"network-containment\"}");
  CHECK(seconds > 0);
  CHECK(seconds < 20);
  sensor.SendHeartbeat(3, InForce(desired, /*proved=*/true));
  sensor.Next();
  // Nor when it comes back, here or elsewhere, with the same in force.
  TestSensor again(plane, web);
  again.SendHello(InForce(desired, /*proved=*/true));
  REQUIRE(again.Next().has_welcome());
  CHECK(Reaches("bulkhead_heartbeats_total", 3));
  CHECK(Metric(count) == 1);
  CHECK(plane.database().Value("SELECT count(*) FROM enforcement_policies WHERE enforced_at IS NOT NULL") == "1");
}

TEST_CASE_METHOD(Fixture, "a policy that the sensor refused alone is not in force, the others are") {
  TestSensor sensor(plane, web);
  sensor.Open();
  v1::BlockBinaryRequest block;
  block.set_sensor("web-1");
  block.mutable_binary()->set_path("/tmp/evil");
  v1::BlockBinaryResponse blocked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::BlockBinary, block, &blocked));
  Contain("now");
  v1::DesiredState desired;
  while (desired.enforcement_policies_size() < 2) desired = sensor.Next().heartbeat_response().desired_state();
  v1::ObservedState observed = InForce(desired, /*proved=*/true);
  for (auto& policy : *observed.mutable_policies()) {
    if (policy.policy_id() == blocked.policy().id()) policy.set_refused("a shell");
  }
  sensor.SendHeartbeat(1, observed);
  CHECK(Reaches("bulkhead_order_enforced_seconds_count{template=\"network-containment\"}", 1));
  CHECK(Metric("bulkhead_order_enforced_seconds_count{template=\"block-binary\"}") == 0);
}

TEST_CASE_METHOD(Fixture, "streams, refusals, heartbeats and what kernels counted") {
  CHECK(Metric("bulkhead_sensor_streams") == 0);
  {
    TestSensor sensor(plane, web);
    const v1::DesiredState desired = sensor.Open();
    CHECK(Metric("bulkhead_sensor_streams") == 1);
    v1::ObservedState observed = TestSensor::Observed(desired.generation(), desired.digest());
    v1::Counter& drops = *observed.add_counters();
    drops.set_name("drop_egress_no_rule");
    drops.set_value(1000);  // before this stream: nobody knows when
    sensor.SendHeartbeat(1, observed);
    sensor.Next();
    drops.set_value(1007);
    sensor.SendHeartbeat(2, observed);
    sensor.Next();
    CHECK(Reaches("bulkhead_heartbeats_total", 2));
  }
  CHECK(Reaches("bulkhead_sensor_streams", 0));
  // The hello's counters were none, so the first heartbeat's are all new.
  CHECK(Metric("bulkhead_sensor_packets_dropped_total") == 1007);
  v1::RevokeSensorRequest revoke;
  revoke.set_sensor("web-1");
  v1::RevokeSensorResponse revoked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::RevokeSensor, revoke, &revoked));
  TestSensor refused(plane, web);
  CHECK(refused.Finish().error_code() == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(Reaches("bulkhead_sensor_streams_refused_total{reason=\"SENSOR_REVOKED\"}", 1));
}

TEST_CASE_METHOD(Fixture, "the fleet's figures come from the database") {
  Contain("now");
  CHECK(Reaches("bulkhead_fleet_policies{state=\"pending\",template=\"network-containment\"}", 1));
  CHECK(Metric("bulkhead_fleet_sensors_contained") == 1);
  CHECK(Metric("bulkhead_fleet_sensors_trust{trust=\"trusted\"}") == 1);
  CHECK(Metric("bulkhead_fleet_sensors_convergence{convergence=\"unknown\"}") == 1);
  CHECK(Metric("bulkhead_fleet_replicas") == 1);
  CHECK(Metric("bulkhead_fleet_audit_sequence") >= 3);
}

TEST_CASE_METHOD(Fixture, "the database, the queues and the certificates are shown") {
  const std::string text = Metrics();
  CHECK(MetricIn(text, "bulkhead_database_statement_seconds_count{operation=\"commit\"}") > 0);
  CHECK(MetricIn(text, "bulkhead_database_errors_total{code=\"UNAVAILABLE\"}") == 0);
  CHECK(MetricIn(text, "bulkhead_database_connections{state=\"max\"}") == 13);
  CHECK(MetricIn(text, "bulkhead_worker_queue{pool=\"orders\"}") == 0);
  CHECK(MetricIn(text, "bulkhead_connections_total{outcome=\"accepted\"}") > 0);
  CHECK(Becomes("bulkhead_notifications_total", [](double is) { return is > 0; }));
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  CHECK(MetricIn(text, "bulkhead_certificate_expiry_timestamp_seconds{certificate=\"server\"}") > now);
  CHECK(MetricIn(text, "bulkhead_certificate_expiry_timestamp_seconds{certificate=\"ca\"}") > now);
  CHECK(MetricIn(text, "bulkhead_ready") == 1);
}

TEST_CASE_METHOD(Fixture, "no metric names a sensor, an operator or an address") {
  TestSensor sensor(plane, web);
  sensor.Open();
  Contain("secret-request-id");
  const std::string text = Metrics();
  for (const std::string& name : {std::string("web-1"), web.sensor_id, std::string("admin-"), std::string("127.0.0.1"),
                                  std::string("secret-request-id"), std::string("test-replica")}) {
    INFO(name);
    CHECK_THAT(text, !Catch::Contains(name));
  }
}

// The names of metrics in an expression.
std::set<std::string> MetricsOf(const std::string& expression) {
  static const std::regex name("(bulkhead|grpc_server)_[a-z_]+");
  return {std::sregex_token_iterator(expression.begin(), expression.end(), name), std::sregex_token_iterator()};
}

TEST_CASE_METHOD(Fixture, "the example alerts are well formed, and each metric in them is on a real page") {
  // What has no series before it happens for the first time.
  TestSensor sensor(plane, web);
  sensor.Open();
  v1::RevokeSensorRequest revoke;
  revoke.set_sensor("web-1");
  v1::RevokeSensorResponse revoked;
  REQUIRE_GRPC_OK(Call(*sensors, &v1::SensorService::Stub::RevokeSensor, revoke, &revoked));
  TestSensor refused(plane, web);
  refused.Finish();
  REQUIRE(Reaches("bulkhead_sensor_streams_refused_total{reason=\"SENSOR_REVOKED\"}", 1));
  REQUIRE(Reaches("bulkhead_fleet_replicas", 1));
  const std::string text = Metrics();
  const YAML::Node file = YAML::LoadFile(BULKHEAD_ALERT_RULES);
  int alerts = 0;
  for (const YAML::Node& group : file["groups"]) {
    CHECK_FALSE(group["name"].as<std::string>().empty());
    for (const YAML::Node& rule : group["rules"]) {
      const std::string alert = rule["alert"].as<std::string>();
      const std::string expression = rule["expr"].as<std::string>();
      INFO(alert << ": " << expression);
      ++alerts;
      CHECK_FALSE(rule["annotations"]["summary"].as<std::string>().empty());
      CHECK(std::set<std::string>{"warning", "critical"}.contains(rule["labels"]["severity"].as<std::string>()));
      CHECK(std::count(expression.begin(), expression.end(), '(') ==
            std::count(expression.begin(), expression.end(), ')'));
      CHECK_FALSE(MetricsOf(expression).empty());
      for (const std::string& name : MetricsOf(expression)) {
        INFO(name);
        CHECK((absl::StrContains(text, "\n" + name + " ") || absl::StrContains(text, "\n" + name + "{")));
      }
    }
  }
  CHECK(alerts >= 10);
}

TEST_CASE("without --metrics-listen nothing listens") {
  ControlPlane plane;
  CHECK(plane.server().metrics_port() == 0);
}

// ---- Health ----

HealthCheckResponse::ServingStatus Check(HealthStub& stub, const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const auto context = Context();
  const grpc::Status status = stub.Check(context.get(), request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return HealthCheckResponse::SERVICE_UNKNOWN;
  REQUIRE_GRPC_OK(status);
  return response.status();
}

TEST_CASE("health is told for the server and for each service by its name") {
  ControlPlane plane;
  HealthStub stub(plane.Connect());
  for (const char* service : {"", "bulkhead.v1.SensorService", "bulkhead.v1.SensorLinkService",
                              "bulkhead.v1.PolicyService", "bulkhead.v1.RolloutService"}) {
    INFO(service);
    CHECK(Check(stub, service) == HealthCheckResponse::SERVING);
  }
  CHECK(Check(stub, "bulkhead.v1.NoSuchService") == HealthCheckResponse::SERVICE_UNKNOWN);
}

TEST_CASE("who watches health hears of the shutdown before a sensor is told goodbye") {
  ControlPlane plane;
  const ClientIdentity web = plane.EnrollSensor("web-1");
  TestSensor sensor(plane, web);
  sensor.Open();
  HealthStub stub(plane.Connect());
  HealthCheckRequest request;
  request.set_service("bulkhead.v1.SensorLinkService");
  const auto context = Context();
  const auto watch = stub.Watch(context.get(), request);
  HealthCheckResponse response;
  REQUIRE(watch->Read(&response));
  CHECK(response.status() == HealthCheckResponse::SERVING);
  absl::Time told_goodbye = absl::InfinitePast();
  std::thread listener([&] {
    while (sensor.Next().message_case() != v1::ConnectResponse::kGoodbye) {
    }
    told_goodbye = absl::Now();
  });
  std::thread stopper([&] { plane.server().Stop(); });
  REQUIRE(watch->Read(&response));
  const absl::Time told_not_serving = absl::Now();
  CHECK(response.status() == HealthCheckResponse::NOT_SERVING);
  listener.join();
  stopper.join();
  // The two are told on two connections: what is read first need not be what was sent first, by a few milliseconds.
  CHECK(told_not_serving < told_goodbye + absl::Milliseconds(500));
}

// ---- Request ids ----

struct Reply {
  grpc::Status status;
  std::string request_id;
};

Reply GetSensor(v1::SensorService::Stub& stub, const std::string& asked, const std::string& sensor) {
  const auto context = Context();
  if (!asked.empty()) context->AddMetadata("x-request-id", asked);
  v1::GetSensorRequest request;
  request.set_sensor(sensor);
  v1::GetSensorResponse response;
  Reply reply;
  reply.status = stub.GetSensor(context.get(), request, &response);
  const auto& metadata = context->GetServerInitialMetadata();
  const auto found = metadata.find("x-request-id");
  if (found != metadata.end()) reply.request_id.assign(found->second.data(), found->second.size());
  return reply;
}

std::string RequestInfoIn(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  google::rpc::RequestInfo info;
  for (const auto& any : details.details()) any.UnpackTo(&info);
  return info.request_id();
}

TEST_CASE_METHOD(Fixture, "a call has the id that its caller gave it, in the answer and in a refusal") {
  CHECK(GetSensor(*sensors, "ticket-42", "web-1").request_id == "ticket-42");
  const Reply refused = GetSensor(*sensors, "ticket-43", "web-9");
  CHECK_GRPC_CODE(refused.status, NOT_FOUND);
  CHECK(refused.request_id == "ticket-43");
  CHECK(RequestInfoIn(refused.status) == "ticket-43");
  CHECK(ReasonIn(refused.status) == "SENSOR_NOT_FOUND");
}

TEST_CASE_METHOD(Fixture, "a call without a good id gets a new one") {
  const std::string first = GetSensor(*sensors, "", "web-1").request_id;
  CHECK(IsUuid(first));
  CHECK(GetSensor(*sensors, "", "web-1").request_id != first);
  for (const std::string& bad : {std::string("two words"), std::string(65, 'a'), std::string("quote\"")}) {
    INFO(bad);
    CHECK(IsUuid(GetSensor(*sensors, bad, "web-1").request_id));
  }
}

TEST_CASE_METHOD(Fixture, "whoever is refused at the door, and a stream, get their ids too") {
  const auto nobody = v1::SensorService::NewStub(plane.Connect());
  const Reply reply = GetSensor(*nobody, "who-am-i", "web-1");
  CHECK_GRPC_CODE(reply.status, UNAUTHENTICATED);
  CHECK(RequestInfoIn(reply.status) == "who-am-i");
  const auto context = Context();
  context->AddMetadata("x-request-id", "my-watch");
  v1::WatchSensorsRequest request;
  request.add_sensors("web-9");
  const auto watch = sensors->WatchSensors(context.get(), request);
  v1::WatchSensorsResponse response;
  CHECK_FALSE(watch->Read(&response));
  CHECK(RequestInfoIn(watch->Finish()) == "my-watch");
}

TEST_CASE_METHOD(Fixture, "an order's audit record names the call that gave it") {
  const auto context = Context();
  context->AddMetadata("x-request-id", "ticket-44");
  v1::ContainSensorRequest request;
  request.set_sensor("web-1");
  v1::ContainSensorResponse response;
  REQUIRE_GRPC_OK(sensors->ContainSensor(context.get(), request, &response));
  CHECK(plane.database().Value("SELECT details::jsonb ->> 'call' FROM audit_log WHERE action = 'sensor_contained'") ==
        "ticket-44");
}

}  // namespace
}  // namespace bulkhead::controlplane::test
