// What a desired state must be before it is enforced.
#include "sensor/domain/desired_state_check.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "harness/status_matchers.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";

SensorFacts Facts() {
  return {kSensor, {"/usr/sbin/bulkhead-sensor"}, true, true};
}

DesiredState Valid() {
  DesiredState state;
  state.sensor_id = kSensor;
  state.generation = 7;
  state.policies = {{"p1", "network-isolation", PolicyTemplate::kNetworkIsolation},
                    {"p2", "block", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill, "/usr/bin/nc"}};
  state.isolation_rules = {{"r1", IpPrefix(), 22, 22, 6, Direction::kInbound}};
  return state;
}

Policy List() {
  Policy list{"p3", "list", PolicyTemplate::kAllowList};
  list.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, "nginx.service"};
  list.allowed = {{"/usr/sbin/nginx", std::string(32, 'x')}};
  return list;
}

Policy Blocks(size_t count, const std::string& id = "p5") {
  Policy blocks{id, "blocks", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill};
  blocks.block_list = id;
  for (size_t i = 0; i < count; ++i) blocks.blocked.push_back({absl::StrCat("/nowhere/", i), ""});
  return blocks;
}

TEST_CASE("a valid state passes") {
  REQUIRE_OK(CheckDesiredState(Valid(), Facts()));
  DesiredState lists = Valid();
  lists.policies.push_back(List());
  lists.policies.push_back(List());
  lists.policies.back().id = "p4";
  lists.policies.back().allowed = {{"", std::string(32, 'x')}, {"/usr/bin/nc", ""}};
  lists.policies.back().learn = true;
  REQUIRE_OK(CheckDesiredState(lists, Facts()));
}

TEST_CASE("what is wrong is refused, with the field") {
  struct Case {
    const char* what;
    void (*spoil)(DesiredState&);
    const char* field;
  };
  const Case cases[] = {
      {"another sensor", [](DesiredState& s) { s.sensor_id = "x"; }, "sensor_id"},
      {"generation 0", [](DesiredState& s) { s.generation = 0; }, "generation"},
      {"no id", [](DesiredState& s) { s.policies[0].id = ""; }, "enforcement_policies[0].id"},
      {"an id twice", [](DesiredState& s) { s.policies[1].id = "p1"; }, "enforcement_policies[1].id"},
      {"isolation twice",
       [](DesiredState& s) {
         s.policies.push_back(s.policies[0]);
         s.policies[2].id = "p3";
       },
       "enforcement_policies[2].template"},
      {"half a port range", [](DesiredState& s) { s.isolation_rules[0].last_port = 0; }, "isolation_rules[0].ports"},
      {"a range backwards", [](DesiredState& s) { s.isolation_rules[0].last_port = 21; }, "isolation_rules[0].ports"},
      {"ports of ICMP", [](DesiredState& s) { s.isolation_rules[0].protocol = 1; }, "isolation_rules[0].ports"},
      {"too many policies", [](DesiredState& s) { s.policies.resize(kMaxPolicies + 1); }, "enforcement_policies"},
      {"too many rules", [](DesiredState& s) { s.isolation_rules.resize(kMaxIsolationRules + 1); }, "isolation_rules"},
  };
  for (const Case& one : cases) {
    INFO(one.what);
    DesiredState state = Valid();
    one.spoil(state);
    const absl::Status status = CheckDesiredState(state, Facts());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    INFO(status.ToString());
    CHECK(absl::StrContains(status.message(), one.field));
  }
}

TEST_CASE("a network template may be ordered once for each scope, and for sixteen scopes") {
  DesiredState state = Valid();
  for (size_t i = 0; i < kMaxScopedWalls; ++i) {
    Policy policy{absl::StrCat("s", i), "scoped", PolicyTemplate::kNetworkIsolation};
    policy.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, absl::StrCat("unit", i, ".service")};
    state.policies.push_back(policy);
  }
  REQUIRE_OK(CheckDesiredState(state, Facts()));
  DesiredState twice = state;
  twice.policies.back().scope = twice.policies[2].scope;
  CHECK(absl::StrContains(CheckDesiredState(twice, Facts()).message(), "appears twice"));
  twice.policies.back().policy_template = PolicyTemplate::kNetworkContainment;
  REQUIRE_OK(CheckDesiredState(twice, Facts()));
  state.policies.push_back({"more", "scoped", PolicyTemplate::kNetworkContainment});
  state.policies.back().scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
  CHECK_CODE(CheckDesiredState(state, Facts()), kInvalidArgument);
}

TEST_CASE("block-lists name 100 000 binaries, and the list with which there are more is refused alone") {
  REQUIRE_OK(CheckPolicy(Blocks(kMaxBlocked), Facts()));
  const absl::Status one_more = CheckPolicy(Blocks(kMaxBlocked + 1), Facts());
  CHECK(absl::StrContains(one_more.message(), "block_binary.list.binaries: has 100001 entries; 1..100000"));

  DesiredState state = Valid();
  state.policies.push_back(Blocks(kMaxBlocked - 1, "first"));
  state.policies.push_back(Blocks(2, "too-much"));
  state.policies.push_back(Blocks(1, "fits"));
  REQUIRE_OK(CheckDesiredState(state, Facts()));
  RefuseExcessiveLists(&state);
  CHECK(state.policies[2].refused.empty());
  CHECK(absl::StrContains(state.policies[3].refused, "this host would block 100001; at most 100000"));
  CHECK(state.policies[4].refused.empty());
  CHECK(state.policies[1].refused.empty());
}

TEST_CASE("a policy that cannot be enforced is no reason to refuse the others") {
  struct Case {
    const char* what;
    size_t which;
    void (*spoil)(Policy&);
    const char* field;
  };
  const Case cases[] = {
      {"path on a network policy", 0, [](Policy& p) { p.binary_path = "/x/y"; }, "block_binary"},
      {"a digest on a network policy", 0, [](Policy& p) { p.binary_sha256 = std::string(32, 'x'); }, "block_binary"},
      {"relative path", 1, [](Policy& p) { p.binary_path = "usr/bin/nc"; }, "block_binary.path"},
      {"neither path nor digest", 1, [](Policy& p) { p.binary_path = ""; }, "block_binary"},
      {"half a digest", 1, [](Policy& p) { p.binary_sha256 = std::string(16, 'x'); }, "block_binary.sha256"},
      {"killing what is only watched", 1,
       [](Policy& p) {
         p.kill_running = true;
         p.action = PolicyAction::kNotify;
       },
       "block_binary.kill_running"},
      {"a block-list without a name", 1,
       [](Policy& p) {
         p = Blocks(1);
         p.block_list = "";
       },
       "block_binary.list.name"},
      {"a name of a block-list that is none", 1,
       [](Policy& p) {
         p = Blocks(1);
         p.block_list = "two words";
       },
       "block_binary.list.name"},
      {"an empty block-list", 1, [](Policy& p) { p = Blocks(0); }, "block_binary.list.binaries"},
      {"a block-list and a path", 1,
       [](Policy& p) {
         p = Blocks(1);
         p.binary_path = "/bin/x";
       },
       "block_binary.list"},
      {"a relative path in a block-list", 1,
       [](Policy& p) {
         p = Blocks(2);
         p.blocked[1].path = "bin/x";
       },
       "block_binary.list.binaries[1].path"},
      {"nothing in a block-list", 1,
       [](Policy& p) {
         p = Blocks(2);
         p.blocked[1] = {};
       },
       "block_binary.list.binaries[1]"},
      {"a block-list on a network policy", 0, [](Policy& p) { p.blocked = Blocks(1).blocked; }, "block_binary"},
      {"killing for a list that only learns", 1,
       [](Policy& p) {
         p = List();
         p.learn = true;
         p.kill_running = true;
       },
       "allow_list.kill_running"},
      {"a list without a scope", 1,
       [](Policy& p) {
         p = List();
         p.scope.reset();
       },
       "scope"},
      {"a list on a block", 1, [](Policy& p) { p.allowed = List().allowed; }, "allow_list"},
      {"learning on a network policy", 0, [](Policy& p) { p.learn = true; }, "allow_list"},
      {"an entry that names nothing", 1,
       [](Policy& p) {
         p = List();
         p.allowed.push_back({});
       },
       "allow_list.binaries[1]"},
      {"a relative entry", 1,
       [](Policy& p) {
         p = List();
         p.allowed[0].path = "nginx";
       },
       "allow_list.binaries[0].path"},
      {"half a digest in a list", 1,
       [](Policy& p) {
         p = List();
         p.allowed[0].sha256 = "x";
       },
       "allow_list.binaries[0].sha256"},
      {"too long a list", 1,
       [](Policy& p) {
         p = List();
         p.allowed.resize(kMaxAllowed + 1, {"/usr/bin/nc", ""});
       },
       "allow_list.binaries"},
      {"a block with a scope", 1,
       [](Policy& p) {
         p.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
       },
       "scope"},
  };
  for (const Case& one : cases) {
    INFO(one.what);
    DesiredState state = Valid();
    one.spoil(state.policies[one.which]);
    REQUIRE_OK(CheckDesiredState(state, Facts()));
    const absl::Status status = CheckPolicy(state.policies[one.which], Facts());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(absl::StrContains(status.message(), one.field));
  }
  DesiredState state = Valid();
  state.policies[1].binary_path = "/usr/sbin/bulkhead-sensor";
  REQUIRE_OK(CheckDesiredState(state, Facts()));
  CHECK_CODE(CheckPolicy(state.policies[1], Facts()), kFailedPrecondition);
}

TEST_CASE("a state that would lock the sensor out is refused") {
  SensorFacts facts = Facts();
  facts.control_plane_known = false;
  CHECK_CODE(CheckDesiredState(Valid(), facts), kFailedPrecondition);
  facts.needs_control_plane = false;
  REQUIRE_OK(CheckDesiredState(Valid(), facts));
}

TEST_CASE("without a wall the control plane's address is not needed") {
  DesiredState state = Valid();
  state.policies.erase(state.policies.begin());
  SensorFacts facts = Facts();
  facts.control_plane_known = false;
  REQUIRE_OK(CheckDesiredState(state, facts));
}

TEST_CASE("binary paths are absolute and normalized") {
  for (const char* good : {"/a", "/usr/bin/nc", "/opt/with space/x", "/..a/b"}) {
    INFO(good);
    REQUIRE_OK(CheckBinaryPath(good));
  }
  for (const char* bad : {"", "/", "a", "a/b", "//a", "/a//b", "/a/", "/a/./b", "/a/../b", "/.", "/a/.."}) {
    INFO(bad);
    CHECK_CODE(CheckBinaryPath(bad), kInvalidArgument);
  }
  CHECK_CODE(CheckBinaryPath(absl::string_view("/a\0b", 4)), kInvalidArgument);
  CHECK_CODE(CheckBinaryPath("/" + std::string(4095, 'x')), kInvalidArgument);
  REQUIRE_OK(CheckBinaryPath("/" + std::string(4094, 'x')));
}

}  // namespace
}  // namespace bulkhead::sensor
