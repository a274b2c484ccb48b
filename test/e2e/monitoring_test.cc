// What somebody sees who has no certificate: the monitoring port of a real control plane, and its log.
#include <catch2/catch.hpp>
#include <fstream>

#include "e2e/system.h"
#include "harness/http_get.h"

namespace bulkhead::e2e {
namespace {

using bulkhead::test::HttpRequest;
using bulkhead::test::MetricIn;
using Catch::Matchers::Contains;

constexpr auto kPatience = std::chrono::seconds(30);

TEST_CASE("a containment is counted, and how long it took, from the order to the receipt") {
  System& system = System::Get();
  system.Reset();
  const uint16_t port = system.metrics_port();
  const auto metric = [&](const std::string& series) { return MetricIn(HttpRequest(port, "/metrics").body, series); };
  CHECK(HttpRequest(port, "/healthz").code == 200);
  CHECK(HttpRequest(port, "/readyz").code == 200);
  REQUIRE(system.Converged());
  CHECK(metric("bulkhead_sensor_streams") == 1);
  const std::string count = "bulkhead_order_enforced_seconds_count{template=\"network-containment\"}";
  const double before = metric(count);
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  CHECK(Eventually(kPatience, [&] { return metric(count) == before + 1; }));
  CHECK(metric("bulkhead_orders_total{action=\"sensor_contained\",outcome=\"applied\"}") >= 1);
  // From the database, every 10 seconds.
  const std::string in_force = "bulkhead_fleet_policies{state=\"enforced\",template=\"network-containment\"}";
  CHECK(Eventually(kPatience, [&] { return metric(in_force) == 1; }));
  CHECK(metric("bulkhead_fleet_sensors_contained") == 1);
  system.Reset();
  CHECK(Eventually(kPatience, [&] { return metric(in_force) == 0; }));
}

TEST_CASE("without a database a replica lives, and is not ready until it is back") {
  System& system = System::Get();
  system.Reset();
  const uint16_t port = system.metrics_port();
  system.postgres().Kill();
  CHECK(Eventually(kPatience, [&] { return HttpRequest(port, "/readyz").code == 503; }));
  CHECK_THAT(HttpRequest(port, "/readyz").body, Contains("database: "));
  CHECK(HttpRequest(port, "/healthz").code == 200);
  CHECK(MetricIn(HttpRequest(port, "/metrics").body, "bulkhead_ready") == 0);
  system.StartPostgres();
  CHECK(Eventually(kPatience, [&] { return HttpRequest(port, "/readyz").code == 200; }));
  system.Reset();
}

TEST_CASE("each call has a line in the log, with its id, its code and who called, and no secret") {
  System& system = System::Get();
  system.Reset();
  CHECK(system.Ctl({"sensor", "get", "no-such-sensor"}).exit_code == 1);
  const Result token = system.As("admin", {"token", "create"});
  REQUIRE(token.exit_code == 0);
  std::ifstream file(system.directory() + "/control_plane.log");
  const std::string log(std::istreambuf_iterator<char>(file), {});
  CHECK_THAT(log, Contains("call rpc=\"/bulkhead.v1.SensorService/GetSensor\" code=\"NOT_FOUND\" "
                           "reason=\"SENSOR_NOT_FOUND\" duration_ms=\""));
  CHECK_THAT(log, Contains("request_id=\""));
  CHECK_THAT(log, Contains("call rpc=\"/bulkhead.v1.EnrollmentService/CreateEnrollmentToken\" code=\"OK\""));
  CHECK_THAT(log, !Contains("bhe_"));
}

}  // namespace
}  // namespace bulkhead::e2e
