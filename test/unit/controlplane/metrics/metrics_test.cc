// What is counted, under which name.
#include "controlplane/metrics/metrics.h"

#include <catch2/catch.hpp>

#include "harness/http_get.h"

namespace bulkhead::controlplane {
namespace {

using bulkhead::test::MetricIn;

void End(Metrics& metrics, const std::string& path, const std::string& code, const std::string& reason, bool stream,
         bool admitted) {
  metrics.OnCallEnded({.path = path,
                       .stream = stream,
                       .admitted = admitted,
                       .code = code,
                       .reason = reason,
                       .duration = absl::Milliseconds(3)});
}

TEST_CASE("calls have the names and labels that every gRPC library gives them") {
  Metrics metrics;
  const std::string path = "/bulkhead.v1.SensorService/GetSensor";
  metrics.OnCallStarted(path, /*stream=*/false);
  metrics.OnCallStarted(path, /*stream=*/false);
  End(metrics, path, "OK", "OK", false, true);
  End(metrics, path, "NOT_FOUND", "SENSOR_NOT_FOUND", false, true);
  const std::string text = metrics.Text();
  const std::string labels = "grpc_method=\"GetSensor\",grpc_service=\"bulkhead.v1.SensorService\",grpc_type=\"unary\"";
  CHECK(MetricIn(text, "grpc_server_started_total{" + labels + "}") == 2);
  CHECK(MetricIn(text, "grpc_server_handled_total{grpc_code=\"NOT_FOUND\"," + labels + "}") == 1);
  CHECK(MetricIn(text, "grpc_server_handling_seconds_count{" + labels + "}") == 2);
  CHECK(MetricIn(text, "grpc_server_handling_seconds_bucket{" + labels + ",le=\"0.0025\"}") == 0);
  CHECK(MetricIn(text, "grpc_server_handling_seconds_bucket{" + labels + ",le=\"0.005\"}") == 2);
}

TEST_CASE("a stream that was refused is told apart from one that ended; its length is no latency") {
  Metrics metrics;
  const std::string path = "/bulkhead.v1.SensorLinkService/Connect";
  End(metrics, path, "UNAUTHENTICATED", "SENSOR_REVOKED", true, false);
  End(metrics, path, "UNAVAILABLE", "UNAVAILABLE", true, true);
  const std::string text = metrics.Text();
  CHECK(MetricIn(text, "bulkhead_sensor_streams_refused_total{reason=\"SENSOR_REVOKED\"}") == 1);
  CHECK(MetricIn(text, "bulkhead_sensor_streams_ended_total{reason=\"UNAVAILABLE\"}") == 1);
  CHECK_THAT(text, !Catch::Contains("grpc_server_handling_seconds_count{grpc_method=\"Connect\""));
}

TEST_CASE("time to containment: a clock that went back counts as at once, and every template is there from the start") {
  Metrics metrics;
  CHECK(MetricIn(metrics.Text(), "bulkhead_order_enforced_seconds_count{template=\"network-isolation\"}") == 0);
  metrics.OnEnforced(PolicyTemplate::kNetworkContainment, absl::Milliseconds(120));
  metrics.OnEnforced(PolicyTemplate::kNetworkContainment, absl::Seconds(-5));
  const std::string text = metrics.Text();
  const std::string labels = "{template=\"network-containment\"";
  CHECK(MetricIn(text, "bulkhead_order_enforced_seconds_bucket" + labels + ",le=\"0.1\"}") == 1);
  CHECK(MetricIn(text, "bulkhead_order_enforced_seconds_bucket" + labels + ",le=\"0.25\"}") == 2);
  CHECK(MetricIn(text, "bulkhead_order_enforced_seconds_sum" + labels + "}") == Approx(0.12));
}

TEST_CASE("what is in no state any more is 0, not what it was before") {
  Metrics metrics;
  StoredFigures stored;
  stored.open_commands["queued"] = 3;
  stored.policies[{"network-isolation", "pending"}] = 2;
  stored.rollouts["halted"] = 1;
  stored.audit_head = 77;
  SensorFigures sensors;
  sensors.by_health["offline"] = 4;
  metrics.SetFleet(sensors, stored, absl::FromUnixSeconds(1000));
  std::string text = metrics.Text();
  CHECK(MetricIn(text, "bulkhead_fleet_open_commands{state=\"queued\"}") == 3);
  CHECK(MetricIn(text, "bulkhead_fleet_policies{state=\"pending\",template=\"network-isolation\"}") == 2);
  CHECK(MetricIn(text, "bulkhead_fleet_rollouts{state=\"halted\"}") == 1);
  CHECK(MetricIn(text, "bulkhead_fleet_sensors_health{health=\"offline\"}") == 4);
  CHECK(MetricIn(text, "bulkhead_fleet_audit_sequence") == 77);
  CHECK(MetricIn(text, "bulkhead_fleet_read_timestamp_seconds") == 1000);
  metrics.SetFleet(SensorFigures(), StoredFigures(), absl::FromUnixSeconds(1010));
  text = metrics.Text();
  CHECK(MetricIn(text, "bulkhead_fleet_open_commands{state=\"queued\"}") == 0);
  CHECK(MetricIn(text, "bulkhead_fleet_policies{state=\"pending\",template=\"network-isolation\"}") == 0);
  CHECK(MetricIn(text, "bulkhead_fleet_rollouts{state=\"halted\"}") == 0);
  CHECK(MetricIn(text, "bulkhead_fleet_sensors_health{health=\"offline\"}") == 0);
}

TEST_CASE("figures that are sampled are asked for when somebody looks") {
  Metrics metrics;
  int asked = 0;
  metrics.AddSampled("bulkhead_test", "A test's.", {{"pool", "a"}}, [&] { return static_cast<double>(++asked); });
  metrics.AddSampled("bulkhead_test", "A test's.", {{"pool", "b"}}, [] { return 9.0; });
  CHECK(MetricIn(metrics.Text(), "bulkhead_test{pool=\"a\"}") == 1);
  const std::string text = metrics.Text();
  CHECK(MetricIn(text, "bulkhead_test{pool=\"a\"}") == 2);
  CHECK(MetricIn(text, "bulkhead_test{pool=\"b\"}") == 9);
}

TEST_CASE("a disabled sensor is counted as disabled, and in no health") {
  SensorFigures figures;
  Sensor sensor;
  sensor.disabled = true;
  sensor.trust = Trust::kRevoked;
  figures.Count(sensor, absl::Seconds(30), absl::FromUnixSeconds(1));
  CHECK(figures.disabled == 1);
  CHECK(figures.by_trust["revoked"] == 1);
  for (const auto& [word, count] : figures.by_health) CHECK(count == 0);
  sensor.disabled = false;
  figures.Count(sensor, absl::Seconds(30), absl::FromUnixSeconds(1));
  CHECK(figures.by_health["critical"] == 1);
  CHECK(figures.by_convergence["unknown"] == 1);
}

}  // namespace
}  // namespace bulkhead::controlplane
