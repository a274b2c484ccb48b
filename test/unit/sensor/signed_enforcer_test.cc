// Signed orders through the enforcer: in the kernel, on the disk, across restarts, trials and a full disk.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "harness/fake_datapath.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "sensor/app/enforcer.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
const SensorFacts kFacts{kSensor, {}, true, true};

// A host whose sensor wants containment and its release signed, and can be started several times.
struct Fixture {
  OrderSigningKey key = *OrderSigningKey::Generate();
  OrderAuthority authority{*OrderKeys::Parse(
      absl::StrCat("key alice ", OrderPublicKeyText(key.public_key()), "\nrequire contain,release 1\n"))};
  test::TempDir dir;
  test::FakeDatapath kernel;
  DesiredStateStore store{dir.path()};
  int statements = 0;

  Enforcer Started() {
    Enforcer enforcer(&kernel, &store);
    enforcer.Demand(&authority);
    enforcer.Restore();
    return enforcer;
  }

  std::shared_ptr<const SignedOrder> Sign(decltype(OrderStatement::order) order) {
    auto out = std::make_shared<SignedOrder>();
    out->statement = absl::StrCat("statement ", ++statements);
    out->signatures = {*key.Sign(out->statement)};
    const absl::Time now = absl::Now();
    out->says = OrderStatement{{kSensor}, now, now + absl::Hours(1), std::move(order)};
    return out;
  }
  Policy Contain(const std::string& id) {
    Policy policy{id, "network-containment"};
    policy.signed_order = Sign(Policy{"", ""});
    return policy;
  }
};

DesiredState State(uint64_t generation, std::vector<Policy> policies) {
  DesiredState state{kSensor, generation};
  state.digest[0] = static_cast<uint8_t>(generation);
  state.policies = std::move(policies);
  return state;
}

// What the observed state says about a policy; empty: nothing.
std::string RefusalOf(Enforcer& enforcer, const std::string& id) {
  for (const ObservedPolicy& policy : enforcer.Observe().policies) {
    if (policy.policy_id == id) return policy.refused;
  }
  return "";
}

TEST_CASE("an unsigned containment is refused alone, a signed one is in force and survives a restart") {
  Fixture f;
  {
    Enforcer enforcer = f.Started();
    Policy block{"b", "block", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill, "/usr/bin/nc"};
    REQUIRE_OK(enforcer.Accept(State(1, {Policy{"u", "network-containment"}, block}), kFacts));
    CHECK_FALSE(f.kernel.state().contained());
    CHECK(f.kernel.state().policies.size() == 1);
    CHECK(absl::StrContains(RefusalOf(enforcer, "u"), "not signed"));
    REQUIRE_OK(enforcer.Accept(State(2, {f.Contain("c"), block}), kFacts));
    CHECK(f.kernel.state().contained());
  }
  f.kernel.Tamper();
  Enforcer enforcer = f.Started();
  CHECK(f.kernel.state().contained());
  CHECK(enforcer.in_force().order_marks.size() == 1);
}

TEST_CASE("what an unsigned deletion lifts stays in the kernel, also after a restart, and is told") {
  Fixture f;
  REQUIRE_OK(f.Started().Accept(State(1, {f.Contain("c")}), kFacts));
  for (uint64_t generation = 2; generation < 4; ++generation) {
    Enforcer enforcer = f.Started();
    REQUIRE_OK(enforcer.Accept(State(generation, {}), kFacts));
    CHECK(f.kernel.state().contained());
    CHECK(f.kernel.state().generation == generation);
    const ObservedState observed = enforcer.Observe();
    REQUIRE(observed.degraded.size() == 1);
    CHECK(absl::StrContains(observed.degraded[0], "network-containment is kept"));
    CHECK(observed.critical.empty());  // or the order that would cure it were refused
  }
  Enforcer enforcer = f.Started();
  DesiredState released = State(4, {});
  released.releases = {f.Sign(LiftOrder{Policy{"", ""}})};
  REQUIRE_OK(enforcer.Accept(released, kFacts));
  CHECK_FALSE(f.kernel.state().contained());
  CHECK(enforcer.Observe().degraded.empty());
}

TEST_CASE("a release that was taken is not undone by a replay after a restart") {
  Fixture f;
  const Policy contain = f.Contain("c");
  {
    Enforcer enforcer = f.Started();
    REQUIRE_OK(enforcer.Accept(State(1, {contain}), kFacts));
    DesiredState released = State(2, {});
    released.releases = {f.Sign(LiftOrder{Policy{"", ""}})};
    REQUIRE_OK(enforcer.Accept(released, kFacts));
  }
  Enforcer enforcer = f.Started();
  REQUIRE_OK(enforcer.Accept(State(3, {contain}), kFacts));
  CHECK_FALSE(f.kernel.state().contained());
  CHECK(absl::StrContains(RefusalOf(enforcer, "c"), "replay"));
}

TEST_CASE("without a disk a signed containment works and a signed release is refused") {
  Fixture f;
  Enforcer enforcer = f.Started();
  // Root writes whatever the modes are: the directory itself has to go.
  const std::string away = f.dir.path() + ".away";
  REQUIRE(rename(f.dir.path().c_str(), away.c_str()) == 0);
  REQUIRE_OK(enforcer.Accept(State(1, {f.Contain("c")}), kFacts));
  CHECK(f.kernel.state().contained());
  DesiredState released = State(2, {});
  released.releases = {f.Sign(LiftOrder{Policy{"", ""}})};
  const absl::Status refused = enforcer.Accept(released, kFacts);
  CHECK(absl::StrContains(refused.message(), "could be ordered again"));
  CHECK(f.kernel.state().contained());
  REQUIRE(rename(away.c_str(), f.dir.path().c_str()) == 0);
  REQUIRE_OK(enforcer.Accept(released, kFacts));
  CHECK_FALSE(f.kernel.state().contained());
}

TEST_CASE("a wall on trial is not lifted without a signature either") {
  Fixture f;
  Enforcer enforcer = f.Started();
  uint64_t ticket = 0;
  enforcer.StartProofsWith([&ticket](uint64_t started) { ticket = started; });
  REQUIRE_OK(enforcer.Accept(State(1, {}), kFacts));
  REQUIRE_OK(enforcer.Accept(State(2, {f.Contain("c")}), kFacts));
  REQUIRE(enforcer.on_trial());
  REQUIRE_OK(enforcer.Accept(State(3, {}), kFacts));
  CHECK(f.kernel.state().contained());
  CHECK(f.kernel.state().generation == 3);
  CHECK(enforcer.on_trial());
}

}  // namespace
}  // namespace bulkhead::sensor
