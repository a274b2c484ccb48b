// Every way to cheat a sensor that wants its orders signed.
#include "sensor/domain/order_authority.h"

#include <catch2/catch.hpp>
#include <functional>

#include "absl/strings/str_cat.h"
#include "harness/status_matchers.h"

namespace bulkhead::sensor {
namespace {

using Catch::Matchers::Contains;

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
constexpr char kOther[] = "99999999-2222-4333-8444-555555555555";
const absl::Time kNow = absl::FromUnixSeconds(1800000000);

const OrderSigningKey& Alice() {
  static const OrderSigningKey kKey = *OrderSigningKey::Generate();
  return kKey;
}
const OrderSigningKey& Bob() {
  static const OrderSigningKey kKey = *OrderSigningKey::Generate();
  return kKey;
}

OrderAuthority Authority(const std::string& requirements =
                             "require contain,block,allow-list,kill,lower-guard 1\n"
                             "require release,unblock 1\n") {
  const auto line = [](const char* name, const OrderSigningKey& key) {
    return absl::StrCat("key ", name, " ", OrderPublicKeyText(key.public_key()), "\n");
  };
  return OrderAuthority(*OrderKeys::Parse(absl::StrCat(line("alice", Alice()), line("bob", Bob()), requirements)));
}

// A signed order whose bytes stand for what it says; reading bytes is the link's work, and tested there.
struct Draft {
  std::vector<std::string> sensor_ids = {kSensor};
  absl::Time issued_at = kNow;
  absl::Time expires_at = kNow + absl::Hours(1);
  std::vector<const OrderSigningKey*> keys = {&Alice()};
  std::string bytes = "statement";
};

std::shared_ptr<const SignedOrder> Sign(decltype(OrderStatement::order) order, const Draft& draft = {}) {
  auto out = std::make_shared<SignedOrder>();
  out->statement = draft.bytes;
  for (const OrderSigningKey* key : draft.keys) out->signatures.push_back(*key->Sign(draft.bytes));
  out->says = OrderStatement{draft.sensor_ids, draft.issued_at, draft.expires_at, std::move(order)};
  return out;
}

Policy Contain(const std::string& id) {
  return {id, "network-containment", PolicyTemplate::kNetworkContainment};
}

Policy Content(Policy policy) {
  policy.id.clear();
  policy.name.clear();
  policy.signed_order.reset();
  return policy;
}

Policy Signed(Policy policy, const Draft& draft = {}) {
  policy.signed_order = Sign(Content(policy), draft);
  return policy;
}

std::shared_ptr<const SignedOrder> Lift(const Policy& where, const Draft& draft = {}) {
  return Sign(LiftOrder{Content(where)}, draft);
}

DesiredState State(std::vector<Policy> policies) {
  DesiredState state{kSensor, 1};
  state.policies = std::move(policies);
  return state;
}

// As the enforcer keeps it.
DesiredState InForce(const Authorized& authorized) {
  DesiredState state = authorized.state;
  for (Policy& policy : state.policies) policy.signed_order.reset();
  return state;
}

const Policy& Only(const Authorized& authorized) {
  REQUIRE(authorized.state.policies.size() == 1);
  return authorized.state.policies[0];
}

TEST_CASE("a signed policy is taken, and the same one needs no signature again") {
  const OrderAuthority authority = Authority();
  const Authorized taken = authority.Authorize(State({Signed(Contain("a"))}), State({}), kNow);
  CHECK(Only(taken).refused.empty());
  CHECK(taken.state.order_marks.size() == 1);
  const Authorized again = authority.Authorize(State({Signed(Contain("a"))}), InForce(taken), kNow + absl::Hours(99));
  CHECK(Only(again).refused.empty());
  CHECK(Only(again).kept.empty());
}

TEST_CASE("a policy without a good signature is refused") {
  const OrderAuthority authority = Authority();
  const auto refusal = [&](const Policy& policy) {
    const Authorized out = authority.Authorize(State({policy}), State({}), kNow);
    CHECK(IsUnauthorized(Only(out)));
    CHECK(out.state.order_marks.empty());
    return Only(out).refused;
  };
  const OrderSigningKey mallory = *OrderSigningKey::Generate();
  CHECK_THAT(refusal(Contain("a")), Contains("not signed"));
  CHECK_THAT(refusal(Signed(Contain("a"), {.keys = {}})), Contains("has 0"));
  CHECK_THAT(refusal(Signed(Contain("a"), {.keys = {&mallory}})), Contains("no operator has the key"));
  CHECK_THAT(refusal(Signed(Contain("a"), {.sensor_ids = {kOther}})), Contains("other sensors"));
  CHECK_THAT(refusal(Signed(Contain("a"), {.expires_at = kNow - absl::Seconds(1)})), Contains("expired"));
  CHECK_THAT(refusal(Signed(Contain("a"), {.issued_at = kNow + absl::Minutes(6)})), Contains("future"));

  Policy altered = Signed(Contain("a"));
  auto order = std::make_shared<SignedOrder>(*altered.signed_order);
  order->statement += "x";
  altered.signed_order = order;
  CHECK_THAT(refusal(altered), Contains("not that of alice's key"));
  order = std::make_shared<SignedOrder>(*Signed(Contain("a")).signed_order);
  order->says = absl::InvalidArgumentError("version: is 2");
  altered.signed_order = order;
  CHECK_THAT(refusal(altered), Contains("version: is 2"));
}

TEST_CASE("a policy that differs from what was signed in any field is refused") {
  const OrderAuthority authority = Authority();
  Policy block{"b", "block", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill, "/usr/bin/nc"};
  Policy list{"l", "list", PolicyTemplate::kAllowList};
  list.scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, "nginx.service"};
  list.allowed = {{"/usr/sbin/nginx", ""}};
  Policy blocks{"bl", "blocks", PolicyTemplate::kBlockBinary, PolicyAction::kSigkill};
  blocks.block_list = "feed";
  blocks.blocked = {{"/tmp/miner", ""}};
  const std::vector<std::pair<Policy, std::function<void(Policy&)>>> changes = {
      {Contain("a"), [](Policy& p) { p.policy_template = PolicyTemplate::kNetworkIsolation; }},
      {Contain("a"), [](Policy& p) { p.action = PolicyAction::kNotify; }},
      {Contain("a"),
       [](Policy& p) {
         p.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
       }},
      {Contain("a"), [](Policy& p) { p.expires_at = kNow + absl::Seconds(1); }},
      {Contain("a"), [](Policy& p) { p.on_expiry = OnExpiry::kHold; }},
      {Contain("a"), [](Policy& p) { p.on_unreachable = OnUnreachable::kHold; }},
      {block, [](Policy& p) { p.binary_path = "/usr/bin/sh"; }},
      {block, [](Policy& p) { p.binary_sha256 = std::string(32, 'x'); }},
      {block, [](Policy& p) { p.kill_running = true; }},
      {block, [](Policy& p) { p.forced = true; }},
      {list,
       [](Policy& p) {
         p.allowed.push_back({"/bin/sh", ""});
       }},
      {list, [](Policy& p) { p.allowed[0].sha256 = std::string(32, 'x'); }},
      {blocks,
       [](Policy& p) {
         p.blocked.push_back({"/bin/sh", ""});
       }},
      {blocks, [](Policy& p) { p.block_list = "another"; }},
      {list, [](Policy& p) { p.learn = true; }},
      {list, [](Policy& p) { p.scope->name = "other.service"; }}};
  const OrderAuthority all = Authority("require contain,isolate,block,allow-list 1\nisolation-rules trusted\n");
  for (size_t i = 0; i < changes.size(); ++i) {
    INFO("change " << i);
    Policy policy = Signed(changes[i].first);
    CHECK(Only(all.Authorize(State({policy}), State({}), kNow)).refused.empty());
    changes[i].second(policy);
    CHECK_THAT(Only(all.Authorize(State({policy}), State({}), kNow)).refused, Contains("says something else"));

    // Changed in place in the database after it was taken: what was signed stays.
    const DesiredState before = InForce(all.Authorize(State({Signed(changes[i].first)}), State({}), kNow));
    const Authorized out = all.Authorize(State({policy}), before, kNow);
    bool kept = false;
    for (const Policy& now : out.state.policies) kept = kept || (now.refused.empty() && now.id == policy.id);
    if (SlotOf(policy) == SlotOf(changes[i].first)) CHECK(kept);
  }
}

TEST_CASE("a policy that vanishes without a signed release stays in force and says why") {
  const OrderAuthority authority = Authority();
  const DesiredState before = InForce(authority.Authorize(State({Signed(Contain("a"))}), State({}), kNow));
  const Authorized out = authority.Authorize(State({}), before, kNow);
  CHECK(Only(out).refused.empty());
  CHECK_THAT(Only(out).kept, Contains("without an order that 1 operators signed"));
  CHECK_FALSE(out.lifts);
  // Nor does a change of its scope in place lift it, nor another policy under its id.
  Policy moved = Contain("a");
  moved.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/nowhere"};
  const Authorized changed = authority.Authorize(State({moved}), before, kNow);
  CHECK(Only(changed).scope == std::nullopt);
  CHECK_FALSE(Only(changed).kept.empty());
  // Back as it was: all is well again.
  CHECK(Only(authority.Authorize(State({Contain("a")}), InForce(changed), kNow)).kept.empty());
}

TEST_CASE("a policy whose lease is over needs no release") {
  const OrderAuthority authority = Authority();
  Policy leased = Contain("a");
  leased.expires_at = kNow + absl::Minutes(1);
  const DesiredState before = InForce(authority.Authorize(State({Signed(leased)}), State({}), kNow));
  CHECK_FALSE(Only(authority.Authorize(State({}), before, kNow)).kept.empty());
  CHECK(authority.Authorize(State({}), before, kNow + absl::Minutes(2)).state.policies.empty());
}

TEST_CASE("a signed release lifts once, and what it lifted cannot be replayed") {
  const OrderAuthority authority = Authority();
  const Draft first{.bytes = "contain"}, later{.issued_at = kNow + absl::Seconds(1), .bytes = "release"};
  const DesiredState contained = InForce(authority.Authorize(State({Signed(Contain("a"), first)}), State({}), kNow));
  DesiredState released = State({});
  released.releases = {Lift(Contain(""), later)};
  const Authorized out = authority.Authorize(released, contained, kNow + absl::Seconds(2));
  CHECK(out.state.policies.empty());
  CHECK(out.lifts);

  // The old containment comes back, under its id or another.
  for (const char* id : {"a", "b"}) {
    const Authorized replay = authority.Authorize(State({Signed(Contain(id), first)}), InForce(out), kNow);
    CHECK_THAT(Only(replay).refused, Contains("replay"));
  }
  // A new containment, and the old release.
  const Draft third{.issued_at = kNow + absl::Seconds(3), .bytes = "contain again"};
  DesiredState again = State({Signed(Contain("c"), third)});
  again.releases = released.releases;
  const Authorized contained_again = authority.Authorize(again, InForce(out), kNow + absl::Seconds(4));
  CHECK(Only(contained_again).refused.empty());
  const Authorized replayed = authority.Authorize(released, InForce(contained_again), kNow + absl::Seconds(5));
  CHECK_THAT(Only(replayed).kept, Contains("replay"));
}

TEST_CASE("a release counts for its slot, its sensor, its time and its signers only") {
  const OrderAuthority authority = Authority("require contain 1\nrequire release,unblock 2\n");
  const DesiredState before = InForce(authority.Authorize(State({Signed(Contain("a"))}), State({}), kNow));
  const Draft good{.issued_at = kNow + absl::Seconds(1), .keys = {&Alice(), &Bob()}};
  const auto kept = [&](std::shared_ptr<const SignedOrder> release) {
    DesiredState state = State({});
    state.releases = {std::move(release)};
    const Authorized out = authority.Authorize(state, before, kNow + absl::Seconds(2));
    return out.state.policies.empty() ? std::string() : out.state.policies[0].kept;
  };
  CHECK(kept(Lift(Contain(""), good)).empty());
  Policy elsewhere = Contain("");
  elsewhere.scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
  CHECK_THAT(kept(Lift(elsewhere, good)), Contains("2 operators"));
  CHECK_THAT(kept(Sign(Content(Contain("")), good)), Contains("2 operators"));  // an order to contain
  Draft bad = good;
  bad.keys = {&Alice()};
  CHECK_THAT(kept(Lift(Contain(""), bad)), Contains("has 1 (alice)"));
  bad.keys = {&Alice(), &Alice()};
  CHECK_THAT(kept(Lift(Contain(""), bad)), Contains("has 1 (alice)"));
  bad = good;
  bad.sensor_ids = {kOther};
  CHECK_THAT(kept(Lift(Contain(""), bad)), Contains("other sensors"));
  bad = good;
  bad.expires_at = kNow;
  CHECK_THAT(kept(Lift(Contain(""), bad)), Contains("expired"));
  bad = good;
  bad.issued_at = kNow;  // not later than the containment
  CHECK_THAT(kept(Lift(Contain(""), bad)), Contains("replay"));
}

TEST_CASE("an order in place of another needs as many signatures as lifting it") {
  const OrderAuthority authority = Authority("require contain 1\nrequire release 2\n");
  const DesiredState before = InForce(authority.Authorize(State({Signed(Contain("a"))}), State({}), kNow));
  Policy shadow = Contain("b");
  shadow.action = PolicyAction::kNotify;
  const Draft one{.issued_at = kNow + absl::Seconds(1)};
  const Authorized out = authority.Authorize(State({Signed(shadow, one)}), before, kNow + absl::Seconds(1));
  REQUIRE(out.state.policies.size() == 2);
  CHECK_THAT(out.state.policies[0].refused, Contains("2 operators"));
  CHECK(out.state.policies[1].id == "a");
  Draft two = one;
  two.keys = {&Alice(), &Bob()};
  CHECK(Only(authority.Authorize(State({Signed(shadow, two)}), before, kNow + absl::Seconds(1))).id == "b");
}

TEST_CASE("kinds that need no signature are as without keys") {
  const OrderAuthority authority = Authority("require kill 1\n");
  const DesiredState before = InForce(authority.Authorize(State({Contain("a")}), State({}), kNow));
  CHECK(before.policies[0].refused.empty());
  CHECK(authority.Authorize(State({}), before, kNow).state.policies.empty());
}

TEST_CASE("isolation rules are taken as the host's keys say, and stay with an isolation that is kept") {
  const std::string require = "require isolate,release 1\n";
  Policy isolation{"i", "network-isolation", PolicyTemplate::kNetworkIsolation};
  DesiredState state = State({Signed(isolation)});
  state.isolation_rules.push_back({"r"});
  const OrderAuthority none = Authority(require + "isolation-rules none\n");
  CHECK(none.Authorize(state, State({}), kNow).state.isolation_rules.empty());
  const OrderAuthority trusted = Authority(require + "isolation-rules trusted\n");
  const Authorized out = trusted.Authorize(state, State({}), kNow);
  CHECK(out.state.isolation_rules.size() == 1);
  CHECK(trusted.Authorize(State({}), InForce(out), kNow).state.isolation_rules.size() == 1);
}

TEST_CASE("old marks are forgotten once no statement before them can be good") {
  const OrderAuthority authority = Authority();
  const DesiredState before = InForce(authority.Authorize(State({Signed(Contain("a"))}), State({}), kNow));
  CHECK(authority.Authorize(before, before, kNow + absl::Hours(24 * 30)).state.order_marks.size() == 1);
  CHECK(authority.Authorize(before, before, kNow + absl::Hours(24 * 31)).state.order_marks.empty());
}

Command Kill(uint32_t pid) {
  Command command;
  command.id = "c";
  command.sensor_id = kSensor;
  command.process.pid = pid;
  command.not_after = kNow + absl::Hours(100);
  return command;
}

TEST_CASE("a kill is what was signed, by the statement's times, or is refused") {
  const OrderAuthority authority = Authority();
  const auto answer = [&](Command command) {
    const absl::Status status = authority.AuthorizeCommand(&command, kSensor, kNow);
    CHECK_CODE(status, kPermissionDenied);
    return std::string(status.message());
  };
  ProcessIdentity process{4242, 7, "boot", "/bin/x", kNow};
  Command good = Kill(4242);
  good.process = process;
  good.process.not_started_after = kNow + absl::Hours(5);  // as a stolen control plane would like it
  CHECK_THAT(answer(good), Contains("not signed"));
  good.signed_order = Sign(process);
  Command taken = good;
  REQUIRE_OK(authority.AuthorizeCommand(&taken, kSensor, kNow));
  CHECK(taken.process.not_started_after == kNow);
  CHECK(taken.not_after == kNow + absl::Hours(1));
  CHECK(taken.statement_digest.size() == 64);
  const std::vector<std::function<void(Command&)>> changes = {
      [](Command& c) { c.process.pid = 4243; },
      [](Command& c) { c.process.start_time_ticks = 8; },
      [](Command& c) { c.process.boot_id = "other"; },
      [](Command& c) { c.process.executable = "/bin/y"; },
      [](Command& c) { c.group = ProcessTree{c.process}; },
      [](Command& c) {
        c.group = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
      },
      [](Command& c) { c.guard = LowerGuard{absl::Minutes(1)}; }};
  for (const auto& change : changes) {
    Command command = good;
    change(command);
    CHECK_THAT(answer(command), Contains("says something else"));
  }
  good.signed_order = Sign(process, {.sensor_ids = {kOther}});
  CHECK_THAT(answer(good), Contains("other sensors"));
  good.signed_order = Sign(Content(Contain("")));
  CHECK_THAT(answer(good), Contains("says something else"));
}

TEST_CASE("a guard is lowered as it was signed, and its code is not replaced") {
  const OrderAuthority authority = Authority();
  Command lower = Kill(0);
  lower.guard = LowerGuard{absl::Minutes(10)};
  lower.signed_order = Sign(LowerGuard{absl::Minutes(10)});
  REQUIRE_OK(authority.AuthorizeCommand(&lower, kSensor, kNow));
  lower.guard = LowerGuard{absl::Minutes(11)};
  CHECK_CODE(authority.AuthorizeCommand(&lower, kSensor, kNow), kPermissionDenied);
  lower.guard = SetGuardCode{std::string(32, 'x')};
  CHECK_CODE(authority.AuthorizeCommand(&lower, kSensor, kNow), kPermissionDenied);
}

}  // namespace
}  // namespace bulkhead::sensor
