// A local policy file in YAML and JSON.
#include "sensor/app/policy_file.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "common/file_util.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

absl::StatusOr<DesiredState> Parse(const std::string& text) {
  const test::TempDir dir;
  const absl::Status written = WriteFileAtomically(dir / "policy", text, 0600);
  if (!written.ok()) return written;
  return ReadPolicyFile(dir / "policy");
}

constexpr char kYaml[] = R"(
enforcement_policies:
  - template: POLICY_TEMPLATE_NETWORK_ISOLATION
  - template: POLICY_TEMPLATE_BLOCK_BINARY
    block_binary: {path: /usr/bin/nc}
isolation_rules:
  - address: 10.0.0.0/8
    ports: {first: 22, last: 22}
    protocol: 6
    direction: DIRECTION_INBOUND
)";

TEST_CASE("YAML is read, and what only a control plane knows is filled in") {
  const auto state = Parse(kYaml);
  REQUIRE_OK(state);
  CHECK(state->generation == 1);
  CHECK(state->isolated());
  REQUIRE(state->policies.size() == 2);
  CHECK(state->policies[0].id != state->policies[1].id);
  CHECK(state->policies[1].binary_path == "/usr/bin/nc");
  CHECK(state->isolation_rules.at(0).first_port == 22);
  CHECK(state->digest != Digest{});
}

TEST_CASE("policies may have scopes, several of a template") {
  const auto state = Parse(R"(
enforcement_policies:
  - template: POLICY_TEMPLATE_NETWORK_ISOLATION
    scope: {systemd_unit: nginx.service}
  - template: POLICY_TEMPLATE_NETWORK_ISOLATION
    scope: {cgroup: /system.slice/redis.service}
)");
  REQUIRE_OK(state);
  CHECK_FALSE(state->isolated());
  CHECK(state->has_wall());
  REQUIRE(state->policies.size() == 2);
  CHECK(state->policies[0].scope == PolicyScope{PolicyScope::Kind::kSystemdUnit, "nginx.service"});
  CHECK(state->policies[1].scope == PolicyScope{PolicyScope::Kind::kCgroup, "/system.slice/redis.service"});
  CHECK_CODE(Parse("enforcement_policies: [{template: POLICY_TEMPLATE_NETWORK_ISOLATION, scope: {container: web}}]"),
             kInvalidArgument);
}

TEST_CASE("the digest follows the content") {
  CHECK(Parse(kYaml)->digest == Parse(kYaml)->digest);
  CHECK(Parse(kYaml)->digest != Parse("generation: 2")->digest);
}

TEST_CASE("JSON is read too") {
  const auto state = Parse(R"({"generation": "4", "enforcementPolicies": [{"id": "x",
      "template": "POLICY_TEMPLATE_NETWORK_CONTAINMENT", "action": "POLICY_ACTION_NOTIFY"}]})");
  REQUIRE_OK(state);
  CHECK(state->generation == 4);
  CHECK(state->contained());
  CHECK(state->policies[0].action == PolicyAction::kNotify);
}

TEST_CASE("an unknown field, a bad value or no YAML at all is refused, with the file's name") {
  for (const char* text :
       {"enforcment_policies: []", "isolation_rules: [{address: 10.0.0.1/8, direction: DIRECTION_ANY}]",
        "isolation_rules: [{direction: SIDEWAYS}]", "a: [", "text", "{\"a\": \"\\u0001\"}"}) {
    INFO(text);
    const auto state = Parse(text);
    CHECK_CODE(state, kInvalidArgument);
    CHECK(absl::StrContains(state.status().message(), "policy"));
  }
}

}  // namespace
}  // namespace bulkhead::sensor
