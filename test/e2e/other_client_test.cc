// The same API through a client that is not ours: buf curl, by server reflection, with client certificates.
#include <catch2/catch.hpp>

#include "e2e/buf.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("buf curl finds the API by reflection and gives every kind of order") {
  System& system = System::Get();
  system.Reset();
  const Result list = BufCurl(system, "viewer", "SensorService/ListSensors", "{}");
  INFO(list.err);
  REQUIRE(list.exit_code == 0);
  CHECK_THAT(list.out, Contains("\"name\": \"e2e\""));

  const Result contained =
      BufCurl(system, "operator", "SensorService/ContainSensor", R"({"sensor": "e2e", "requestId": "buf-1"})");
  REQUIRE(contained.exit_code == 0);
  CHECK_THAT(contained.out, Contains("network-containment"));
  CHECK(Eventually(std::chrono::seconds(10), [&] { return !system.sandbox().Out("tcp", 4); }));
  const Result released = BufCurl(system, "operator", "SensorService/ReleaseSensor", R"({"sensor": "e2e"})");
  REQUIRE(released.exit_code == 0);
  CHECK(Eventually(std::chrono::seconds(10), [&] { return system.sandbox().Out("tcp", 4); }));
}

TEST_CASE("buf curl decodes the details of a refusal") {
  System& system = System::Get();
  system.Reset();
  const Result denied = BufCurl(system, "viewer", "SensorService/ContainSensor", R"({"sensor": "e2e"})");
  CHECK(denied.exit_code != 0);
  CHECK_THAT(denied.err, Contains("permission_denied"));
  const Result missing = BufCurl(system, "viewer", "SensorService/GetSensor", R"({"sensor": "nobody"})");
  CHECK_THAT(missing.err, Contains("not_found"));
}

}  // namespace
}  // namespace bulkhead::e2e
