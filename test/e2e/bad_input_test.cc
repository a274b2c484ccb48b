// Wrong input gets a precise answer and changes nothing; sent by bulkheadctl and, where it is too careful, by buf curl.
#include <catch2/catch.hpp>
#include <filesystem>

#include "e2e/buf.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("wrong values are refused with the field") {
  System& system = System::Get();
  system.Reset();
  const uint64_t generation = system.GetSensor().desired_generation();
  const auto refused = [&](const Arguments& arguments, const std::string& text) {
    const Result result = system.Ctl(arguments);
    INFO(result.err);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.err, Contains(text));
  };
  refused({"sensor", "block-binary", "e2e", "bin/nc"}, "field: binary.path");
  refused({"sensor", "block-binary", "e2e", "/usr/../bin/nc"}, "field: binary.path");
  refused({"isolation-rule", "add", "--direction", "any", "--address", "10.0.1.5/8"}, "field: rule.address");
  refused({"isolation-rule", "add", "--direction", "any", "--ports", "70000"}, "field: rule.ports");
  refused({"isolation-rule", "add", "--direction", "any", "--ports", "9-2"}, "field: rule.ports");
  refused({"isolation-rule", "add", "--direction", "any", "--ports", "22", "--protocol", "icmp"}, "field: rule.ports");
  refused({"sensor", "contain", "nobody"}, "SENSOR_NOT_FOUND");
  refused({"sensor", "contain", "e2e", "--etag", "stale"}, "STALE_ETAG");
  refused({"sensor", "contain", "e2e", "--reason", std::string(513, 'x')}, "field: reason");
  refused({"sensor", "contain", "e2e", "--request-id", "not allowed"}, "field: request_id");
  refused({"sensor", "kill", "e2e", "4194305"}, "field: process.pid");
  refused({"policy", "delete", "11111111-1111-4111-8111-111111111111"}, "POLICY_NOT_FOUND");
  CHECK(system.GetSensor().desired_generation() == generation);
  CHECK(system.sandbox().Out("tcp", 4));
}

TEST_CASE("what bulkheadctl would not send is refused by the control plane itself") {
  System& system = System::Get();
  system.Reset();
  const auto refused = [&](const std::string& method, const std::string& json, const std::string& text) {
    const Result result = BufCurl(system, "operator", method, json);
    INFO(result.err << result.out);
    CHECK(result.exit_code != 0);
    CHECK_THAT(result.err + result.out, Contains("invalid_argument") && Contains(text));
  };
  refused("SensorService/KillProcess", R"({"sensor": "e2e", "process": {"pid": 1}})", "pid");
  refused("SensorService/KillProcess", R"({"sensor": "e2e", "process": {"pid": 0}})", "pid");
  refused("SensorService/BlockBinary", R"({"sensor": "e2e", "binary": {"path": "/tmp/a\u0000b"}})", "path");
  refused("SensorService/ContainSensor", R"({"sensor": "e2e", "action": 77})", "action");
  refused("IsolationRuleService/CreateIsolationRule", R"({"rule": {"address": "10.0.0.1"}})", "direction");
  refused("PolicyService/ListEnforcementPolicies", R"({"pageToken": "made-up"})", "page_token");
}

TEST_CASE("a message of 10 MB is refused and harms nobody") {
  System& system = System::Get();
  system.Reset();
  const std::string json = R"({"sensor": "e2e", "reason": ")" + std::string(10 << 20, 'x') + "\"}";
  const Result result = BufCurl(system, "operator", "SensorService/ContainSensor", json);
  CHECK(result.exit_code != 0);
  CHECK_THAT(result.err, Contains("resource_exhausted"));
  CHECK(system.Ctl({"sensor", "list"}).exit_code == 0);
  CHECK(system.GetSensor().connected());
}

TEST_CASE("a sensor's stream that opens with something other than hello is ended") {
  System& system = System::Get();
  system.Reset();
  const Result result = BufCurlAsSensor(system, "SensorLinkService/Connect", R"({"heartbeat": {"sequence": "1"}})");
  CHECK(result.exit_code != 0);
  CHECK_THAT(result.err, Contains("invalid_argument") && Contains("hello"));
  CHECK(system.Converged());
  // And a sensor is not an operator.
  CHECK_THAT(BufCurlAsSensor(system, "SensorService/ListSensors", "{}").err,
             Contains("permission_denied") || Contains("unauthenticated"));
}

}  // namespace
}  // namespace bulkhead::e2e
