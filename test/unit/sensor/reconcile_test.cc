// Newer states are taken; a control plane that went back in time does not lift what nobody released.
#include "sensor/domain/reconcile.h"

#include <catch2/catch.hpp>

namespace bulkhead::sensor {
namespace {

const Policy kContain{"c", "network-containment", PolicyTemplate::kNetworkContainment};
const Policy kIsolate{"i", "network-isolation", PolicyTemplate::kNetworkIsolation};
const Policy kShadow{"n", "network-containment", PolicyTemplate::kNetworkContainment, PolicyAction::kNotify};
const Policy kBlock{"b", "block", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill, "/usr/bin/nc"};
Policy Of(Policy policy, const std::string& unit) {
  policy.id += unit;
  policy.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, unit};
  return policy;
}

const IsolationRule kSsh{"r", IpPrefix(), 22, 22, 6, Direction::kInbound};

DesiredState State(uint64_t generation, std::vector<Policy> policies = {}, std::vector<IsolationRule> rules = {}) {
  DesiredState state{"sensor", generation};
  state.digest[0] = static_cast<uint8_t>(policies.size() + 16 * rules.size());
  state.policies = std::move(policies);
  state.isolation_rules = std::move(rules);
  return state;
}

TEST_CASE("newer is applied, the same is acknowledged") {
  Reconciler reconciler;
  CHECK(reconciler.Decide(State(1), DesiredState{}).action == ReconcileAction::kApply);
  CHECK(reconciler.Decide(State(8), State(7, {kContain})).action == ReconcileAction::kApply);
  CHECK(reconciler.Decide(State(7, {kContain}), State(7, {kContain})).action == ReconcileAction::kAlreadyInForce);
}

TEST_CASE("a restored control plane may tighten, and may not lift") {
  Reconciler reconciler;
  CHECK(reconciler.Decide(State(3, {kContain}), State(7)).action == ReconcileAction::kApply);
  const ReconcileDecision lifted = reconciler.Decide(State(3), State(7, {kContain}));
  CHECK(lifted.action == ReconcileAction::kRefuse);
  CHECK_FALSE(lifted.reason.empty());
  // The same number with other content is no newer.
  CHECK(Reconciler().Decide(State(7), State(7, {kContain})).action == ReconcileAction::kRefuse);
}

TEST_CASE("an order given after the restore is obeyed") {
  Reconciler reconciler;
  CHECK(reconciler.Decide(State(3), State(7, {kContain})).action == ReconcileAction::kRefuse);
  CHECK(reconciler.Decide(State(3), State(7, {kContain})).action == ReconcileAction::kRefuse);
  CHECK(reconciler.Decide(State(4), State(7, {kContain})).action == ReconcileAction::kApply);
}

TEST_CASE("a host that was enrolled anew starts a new count") {
  DesiredState other = State(1);
  other.sensor_id = "another";
  CHECK(Reconciler().Decide(other, State(7, {kContain})).action == ReconcileAction::kApply);
}

TEST_CASE("strictness") {
  struct Case {
    const char* what;
    DesiredState incoming;
    DesiredState in_force;
    bool strict;
  };
  const Case cases[] = {
      {"nothing from nothing", State(1), State(1), true},
      {"containment lifted", State(1), State(1, {kContain}), false},
      {"containment became shadow", State(1, {kShadow}), State(1, {kContain}), false},
      {"shadow lifted", State(1), State(1, {kShadow}), true},
      {"containment became isolation", State(1, {kIsolate}), State(1, {kContain}), true},
      {"and a rule opens what containment closed", State(1, {kIsolate}, {kSsh}), State(1, {kContain}), false},
      {"isolation became containment", State(1, {kContain}), State(1, {kIsolate}), false},
      {"a block lifted", State(1, {kContain}), State(1, {kContain, kBlock}), false},
      {"a block added", State(1, {kContain, kBlock}), State(1, {kContain}), true},
      {"a rule added while isolated", State(1, {kIsolate}, {kSsh}), State(1, {kIsolate}), false},
      {"a rule removed while isolated", State(1, {kIsolate}), State(1, {kIsolate}, {kSsh}), true},
      {"a rule added while not isolated", State(1, {}, {kSsh}), State(1), true},
      {"a scope released", State(1, {Of(kContain, "a")}), State(1, {Of(kContain, "a"), Of(kContain, "b")}), false},
      {"the whole host instead of a scope", State(1, {kContain}), State(1, {Of(kContain, "a")}), true},
      {"a scope instead of the whole host", State(1, {Of(kContain, "a")}), State(1, {kContain}), false},
      {"a scope's containment became isolation", State(1, {Of(kIsolate, "a")}), State(1, {Of(kContain, "a")}), true},
      {"and a rule opens the scope", State(1, {Of(kIsolate, "a")}, {kSsh}), State(1, {Of(kContain, "a")}), false},
      {"a rule for a scope that may lie in a contained one", State(1, {kContain, Of(kIsolate, "a")}, {kSsh}),
       State(1, {kContain}), false},
      {"isolation of the host, and then of a scope in it", State(1, {kIsolate, Of(kIsolate, "a")}, {kSsh}),
       State(1, {kContain, kIsolate}, {kSsh}), true},
      {"a rule added while a scope is isolated", State(1, {Of(kIsolate, "a")}, {kSsh}), State(1, {Of(kIsolate, "a")}),
       false},
  };
  for (const Case& one : cases) {
    INFO(one.what);
    CHECK(AtLeastAsStrict(one.incoming, one.in_force) == one.strict);
  }
}

TEST_CASE("a wall that ends earlier is weaker") {
  const auto until = [](const std::string& id, int64_t second, OnExpiry on_expiry = OnExpiry::kRelease) {
    Policy policy = kContain;
    policy.id = id;
    policy.expires_at = absl::FromUnixSeconds(second);
    policy.on_expiry = on_expiry;
    return policy;
  };
  CHECK_FALSE(AtLeastAsStrict(State(1, {until("x", 100)}), State(1, {kContain})));
  CHECK(AtLeastAsStrict(State(1, {kContain}), State(1, {until("x", 100)})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {until("x", 99)}), State(1, {until("y", 100)})));
  CHECK(AtLeastAsStrict(State(1, {until("x", 100)}), State(1, {until("y", 100)})));
  CHECK(AtLeastAsStrict(State(1, {until("x", 100, OnExpiry::kHold)}), State(1, {kContain})));
  // One order; the time on the way made the difference.
  CHECK(AtLeastAsStrict(State(1, {until("x", 99)}), State(1, {until("x", 100)})));
}

TEST_CASE("an allow-list that is gone, longer, of another scope or only learns is weaker") {
  Policy list{"l", "list", PolicyTemplate::kAllowList};
  list.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
  list.allowed = {{"/bin/a", ""}, {"/bin/b", ""}};
  Policy shorter = list;
  shorter.id = "s";
  shorter.allowed.pop_back();
  Policy elsewhere = list;
  elsewhere.scope->name = "/b";
  Policy learns = list;
  learns.allowed.clear();
  learns.learn = true;
  CHECK(AtLeastAsStrict(State(1, {shorter}), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {list}), State(1, {shorter})));
  CHECK_FALSE(AtLeastAsStrict(State(1), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {elsewhere}), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {learns}), State(1, {list})));
  CHECK(AtLeastAsStrict(State(1), State(1, {learns})));
}

TEST_CASE("a block-list that is gone, shorter or only reports is weaker") {
  Policy list{"l", "list", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill};
  list.block_list = "feed";
  list.blocked = {{"/bin/a", ""}, {"", std::string(32, 'x')}};
  Policy shorter = list;
  shorter.id = "s";
  shorter.blocked.pop_back();
  Policy reports = list;
  reports.action = PolicyAction::kNotify;
  Policy plain{"p", "plain", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill, "/bin/a"};
  CHECK(AtLeastAsStrict(State(1, {list}), State(1, {shorter})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {shorter}), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {reports}), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {plain}), State(1, {list})));
  CHECK_FALSE(AtLeastAsStrict(State(1, {list}), State(1, {plain})));
}

TEST_CASE("the id of a rule does not change its meaning") {
  IsolationRule renamed = kSsh;
  renamed.id = "other";
  CHECK(AtLeastAsStrict(State(1, {kIsolate}, {renamed}), State(1, {kIsolate}, {kSsh})));
}

}  // namespace
}  // namespace bulkhead::sensor
