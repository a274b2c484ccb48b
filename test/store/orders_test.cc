// Orders: what they change, that the audit record is in the same transaction, and what they refuse.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "controlplane/domain/block_list.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

std::string AuditTrail(const Database& database) {
  return database.Value(
      "SELECT coalesce(string_agg(action || ':' || outcome, ' ' ORDER BY sequence), '') FROM audit_log"
      " WHERE action NOT LIKE 'enrollment%' AND action <> 'sensor_enrolled'");
}

TEST_CASE("contain makes a policy, raises the generation, changes digest and etag, and is audited") {
  const Database database;
  const auto store = database.Open();
  const Sensor before = Enroll(*store, "web-1");
  CHECK(before.desired_generation == 1);
  const auto contained = Contain(*store, "web-1");
  REQUIRE_OK(contained);
  CHECK_FALSE(contained->unchanged);
  CHECK(contained->policy.name == "network-containment");
  CHECK(contained->policy.created_by == "olga");
  CHECK(contained->sensor.desired_generation == 2);
  CHECK(contained->sensor.desired_digest.size() == 32);
  CHECK(contained->sensor.desired_digest != before.desired_digest);
  CHECK(contained->sensor.etag != before.etag);
  CHECK(contained->sensor.policies.size() == 1);
  CHECK(AuditTrail(database) == "sensor_contained:applied");
  const auto state = Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(before.id); });
  REQUIRE_OK(state);
  CHECK(state->generation == 2);
  CHECK(state->digest == contained->sensor.desired_digest);
  CHECK(state->policies.size() == 1);
}

TEST_CASE("a second contain changes nothing and says so, also in the audit log") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto first = Contain(*store, "web-1");
  const auto second = Contain(*store, "web-1", By("petra"));
  REQUIRE_OK(second);
  CHECK(second->unchanged);
  CHECK(second->policy.id == first->policy.id);
  CHECK(second->sensor.desired_generation == first->sensor.desired_generation);
  CHECK(AuditTrail(database) == "sensor_contained:applied sensor_contained:unchanged");
}

TEST_CASE("contain with another action replaces the policy, so that a trial run never hides a real order") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto trial = Contain(*store, "web-1", By("olga"), PolicyAction::kNotify);
  const auto real = Contain(*store, "web-1", By("olga"), PolicyAction::kDeny);
  REQUIRE_OK(real);
  CHECK_FALSE(real->unchanged);
  CHECK(real->policy.action == PolicyAction::kDeny);
  CHECK(real->sensor.policies.size() == 1);
  CHECK(real->sensor.desired_digest != trial->sensor.desired_digest);
}

TEST_CASE("an order that fails after its change leaves neither change nor audit record") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const absl::Status failed = store->Run([&](Transaction& tx) -> absl::Status {
    REQUIRE_OK(orders::ContainSensor(tx, By("olga"), "web-1", {}));
    return absl::InternalError("after the change");
  });
  CHECK_CODE(failed, kInternal);
  CHECK(AuditTrail(database).empty());
  CHECK(Read(*store, "web-1").policies.empty());
  CHECK(Read(*store, "web-1").etag == sensor.etag);
}

TEST_CASE("a failed statement fails the transaction even when the body ignores it") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const absl::Status status = store->Run([&](Transaction& tx) {
    tx.SetDisabled(sensor.id, true).IgnoreError();
    Policy broken;
    broken.id = "00000000-0000-4000-8000-000000000000";
    broken.sensor_id = sensor.id;
    broken.name = "no-such-name";
    broken.created_by = "olga";
    tx.InsertPolicy(broken).IgnoreError();
    return absl::OkStatus();
  });
  CHECK_CODE(status, kFailedPrecondition);
  CHECK_FALSE(Read(*store, "web-1").disabled);
}

TEST_CASE("release lifts what is asked and is unchanged when there is nothing") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  REQUIRE_OK(Contain(*store, "web-1"));
  REQUIRE_OK(Isolate(*store, "web-1"));
  const auto release = [&](std::optional<PolicyTemplate> only) {
    return Give(*store, [&](Transaction& tx) { return orders::ReleaseSensor(tx, By("olga"), "web-1", only); });
  };
  const auto isolation = release(PolicyTemplate::kNetworkIsolation);
  REQUIRE_OK(isolation);
  CHECK(isolation->sensor.Find(PolicyTemplate::kNetworkIsolation) == nullptr);
  CHECK(isolation->sensor.Find(PolicyTemplate::kNetworkContainment) != nullptr);
  REQUIRE_OK(release(std::nullopt));
  const uint64_t generation = Read(*store, "web-1").desired_generation;
  const auto nothing = release(std::nullopt);
  REQUIRE_OK(nothing);
  CHECK(nothing->unchanged);
  CHECK(nothing->sensor.desired_generation == generation);
  CHECK_CODE(release(PolicyTemplate::kBlockBinary), kInvalidArgument);
}

TEST_CASE("each scope is contained by itself, once, beside the whole sensor") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Scope nginx{ScopeKind::kSystemdUnit, "nginx.service"};
  const Scope cgroup{ScopeKind::kCgroup, "/nginx.service"};
  const auto contain = [&](const std::optional<Scope>& scope, PolicyAction action = PolicyAction::kDeny) {
    return Give(*store, [&](Transaction& tx) {
      return orders::ContainSensor(tx, By("olga"), "web-1", {.action = action, .scope = scope});
    });
  };
  const auto first = contain(nginx, PolicyAction::kNotify);
  REQUIRE_OK(first);
  CHECK(first->policy.name == "network-containment-nginx.service");
  CHECK(first->policy.scope == nginx);
  CHECK(first->sensor.Find(PolicyTemplate::kNetworkContainment) == nullptr);
  CHECK(contain(nginx, PolicyAction::kNotify)->unchanged);
  const auto cuts = contain(nginx);
  REQUIRE_OK(cuts);
  CHECK_FALSE(cuts->unchanged);
  CHECK(cuts->policy.name == first->policy.name);
  CHECK(cuts->sensor.desired_digest != first->sensor.desired_digest);
  REQUIRE_OK(contain(cgroup));
  REQUIRE_OK(contain(std::nullopt));
  const Sensor sensor = Read(*store, "web-1");
  CHECK(sensor.policies.size() == 3);
  CHECK(sensor.Find(PolicyTemplate::kNetworkContainment, cgroup)->name.size() == first->policy.name.size() + 9);
  CHECK(sensor.Find(PolicyTemplate::kNetworkContainment)->name == "network-containment");
  CHECK(database.Value("SELECT details::jsonb->>'scope' FROM audit_log WHERE action = 'sensor_contained'"
                       " ORDER BY sequence LIMIT 1") == "unit:nginx.service");
}

TEST_CASE("release of a scope leaves the others and the whole sensor, and the other way round") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Scope nginx{ScopeKind::kSystemdUnit, "nginx.service"};
  const Scope redis{ScopeKind::kContainer, "0123456789ab"};
  for (const std::optional<Scope>& scope : {std::optional(nginx), std::optional(redis), std::optional<Scope>()}) {
    REQUIRE_OK(Give(*store,
                    [&](Transaction& tx) { return orders::IsolateSensor(tx, By("olga"), "web-1", {.scope = scope}); }));
  }
  const auto release = [&](const std::optional<Scope>& scope) {
    return Give(*store,
                [&](Transaction& tx) { return orders::ReleaseSensor(tx, By("olga"), "web-1", std::nullopt, scope); });
  };
  REQUIRE_OK(release(nginx));
  CHECK(release(nginx)->unchanged);
  CHECK(Read(*store, "web-1").policies.size() == 2);
  REQUIRE_OK(release(std::nullopt));
  const Sensor sensor = Read(*store, "web-1");
  REQUIRE(sensor.policies.size() == 1);
  CHECK(sensor.policies[0].scope == redis);
  CHECK_CODE(release(Scope{ScopeKind::kCgroup, "a"}), kInvalidArgument);
}

TEST_CASE("each scope has one allow-list: the same is the same order, another replaces it, deleting lifts it") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Scope nginx{ScopeKind::kSystemdUnit, "nginx.service"};
  const std::string digest(32, '\xab');
  const auto set = [&](AllowList list, const std::optional<Scope>& scope, PolicyAction action = PolicyAction::kDeny) {
    return Give(*store, [&](Transaction& tx) {
      return orders::SetAllowList(tx, By("olga"), "web-1", list, {.action = action, .scope = scope});
    });
  };
  const AllowList list{{{"/usr/sbin/nginx", digest}, {"", digest}, {"/bin/a \"b\\{}, c", ""}}, false};
  const auto learns = set({{}, true}, nginx);
  REQUIRE_OK(learns);
  CHECK(learns->policy.name == "bulkhead-allow-list-nginx.service");
  CHECK(learns->policy.allow_list.learn);
  const auto first = set(list, nginx);
  REQUIRE_OK(first);
  CHECK_FALSE(first->unchanged);
  CHECK(first->sensor.policies.size() == 1);
  CHECK(first->policy.name == learns->policy.name);
  CHECK(first->policy.allow_list.binaries ==
        std::vector<AllowedBinary>{{"", digest}, {"/bin/a \"b\\{}, c", ""}, {"/usr/sbin/nginx", digest}});
  CHECK(first->sensor.desired_digest != learns->sensor.desired_digest);
  CHECK(first->sensor.desired_generation == learns->sensor.desired_generation + 1);
  // Order and repetition say nothing.
  const AllowList shuffled{{list.binaries[2], list.binaries[0], list.binaries[1], list.binaries[0]}, false};
  CHECK(set(shuffled, nginx)->unchanged);
  CHECK_FALSE(set(list, nginx, PolicyAction::kNotify)->unchanged);
  REQUIRE_OK(set({}, Scope{ScopeKind::kCgroup, "/a"}));
  const Sensor sensor = Read(*store, "web-1");
  CHECK(sensor.policies.size() == 2);
  REQUIRE_OK(Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(sensor.id); }));
  CHECK(database.Value("SELECT details::jsonb->>'binaries' || ' ' || (details::jsonb->>'action') FROM audit_log"
                       " WHERE action = 'allow_list_set' ORDER BY sequence LIMIT 1 OFFSET 1") == "3 deny");
  REQUIRE_OK(Give(*store, [&](Transaction& tx) {
    return orders::DeletePolicy(tx, By("olga"), sensor.Find(PolicyTemplate::kAllowList, nginx)->id);
  }));
  CHECK(Read(*store, "web-1").policies.size() == 1);
}

TEST_CASE("an allow-list that is none is refused, with the field") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Scope nginx{ScopeKind::kSystemdUnit, "nginx.service"};
  const auto field = [&](AllowList list, const std::optional<Scope>& scope) {
    const auto ordered = Give(
        *store, [&](Transaction& tx) { return orders::SetAllowList(tx, By("olga"), "web-1", list, {.scope = scope}); });
    CHECK_CODE(ordered, kInvalidArgument);
    return std::string(ordered.status().message());
  };
  CHECK_THAT(field({}, std::nullopt), Catch::Contains("scope"));
  CHECK_THAT(field({}, Scope{ScopeKind::kContainer, "web"}), Catch::Contains("scope.container"));
  CHECK_THAT(field({{{"/bin/a", ""}}, true}, nginx), Catch::Contains("allow_list.binaries"));
  CHECK_THAT(field({{{"/bin/a", ""}, {"", ""}}, false}, nginx), Catch::Contains("allow_list.binaries[1]"));
  CHECK_THAT(field({{{"bin/a", ""}}, false}, nginx), Catch::Contains("allow_list.binaries[0].path"));
  CHECK_THAT(field({{{"", "x"}}, false}, nginx), Catch::Contains("allow_list.binaries[0].sha256"));
  CHECK_THAT(field({std::vector<AllowedBinary>(4097, {"/bin/a", ""}), false}, nginx), Catch::Contains("4097"));
  CHECK_THAT(field({std::vector<AllowedBinary>(300, {"/" + std::string(4000, 'a'), ""}), false}, nginx),
             Catch::Contains("together"));
  CHECK(Read(*store, "web-1").policies.empty());
}

TEST_CASE("sixteen scopes of a sensor are walled, and no more") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto isolate = [&](size_t i) {
    return Give(*store, [&](Transaction& tx) {
      return orders::IsolateSensor(tx, By("olga"), "web-1",
                                   {.scope = Scope{ScopeKind::kCgroup, absl::StrCat("/scope-", i)}});
    });
  };
  for (size_t i = 0; i < kMaxScopedPolicies; ++i) REQUIRE_OK(isolate(i));
  CHECK(ReasonOf(isolate(kMaxScopedPolicies).status()) == "TOO_MANY_SCOPED_POLICIES");
  CHECK(isolate(0)->unchanged);
  REQUIRE_OK(Isolate(*store, "web-1"));
}

TEST_CASE("a block has a name from its path, and deleting the policy lifts it") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto block = [&](const std::string& path, bool force = false) {
    return Give(*store, [&](Transaction& tx) {
      return orders::BlockBinary(tx, By("olga"), "web-1", {.path = path, .force = force},
                                 {.action = PolicyAction::kSigkill});
    });
  };
  const auto first = block("/opt/tool/nc");
  REQUIRE_OK(first);
  CHECK(first->policy.name == "bulkhead-block-binary-opt-tool-nc");
  const auto alike = block("/opt/tool nc");
  REQUIRE_OK(alike);
  CHECK(absl::StartsWith(alike->policy.name, "bulkhead-block-binary-opt-tool-nc-"));
  CHECK(block("/opt/tool/nc")->unchanged);
  CHECK(ReasonOf(block("/bin/sh").status()) == "DANGEROUS_BINARY");
  CHECK(ReasonOf(block("/opt/bulkhead-sensor", true).status()) == "SENSOR_BINARY");
  CHECK(FieldOf(block("relative").status()) == "binary.path");
  const auto lift = [&](const std::string& etag) {
    return Give(*store,
                [&](Transaction& tx) { return orders::DeletePolicy(tx, By("olga", "", etag), first->policy.id); });
  };
  CHECK(ReasonOf(lift("stale").status()) == "STALE_ETAG");
  REQUIRE_OK(lift(first->policy.etag));
  CHECK(ReasonOf(lift("").status()) == "POLICY_NOT_FOUND");
  CHECK(Read(*store, "web-1").policies.size() == 1);
}

TEST_CASE("a block by content is stored, replaced by what asks more, and a network policy's equal in every other way") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  PolicyTerms terms{.action = PolicyAction::kSigkill};
  const auto block = [&](const orders::BinaryOrder& order) {
    return Give(*store, [&](Transaction& tx) { return orders::BlockBinary(tx, By("olga"), "web-1", order, terms); });
  };
  const std::string digest(32, '\xab');
  orders::BinaryOrder order;
  CHECK(FieldOf(block(order).status()) == "binary.path");
  order.sha256 = "ab";
  CHECK(FieldOf(block(order).status()) == "binary.sha256");
  order.sha256 = digest;
  const auto first = block(order);
  REQUIRE_OK(first);
  CHECK(first->policy.name == "bulkhead-block-binary-abababababababab");
  CHECK(first->policy.binary_sha256 == digest);
  CHECK(block(order)->unchanged);
  order.kill_running = true;
  const auto harder = block(order);
  REQUIRE_OK(harder);
  CHECK(!harder->unchanged);
  CHECK(harder->policy.kill_running);
  CHECK(Read(*store, "web-1").policies.size() == 1);
  CHECK(harder->sensor.desired_digest != first->sensor.desired_digest);
  terms.action = PolicyAction::kNotify;
  CHECK(FieldOf(block(order).status()) == "binary.kill_running");
  terms.action = PolicyAction::kDeny;
  order = {.path = "/opt/tool", .sha256 = digest};
  REQUIRE_OK(block(order));
  order.sha256[0] = 'x';
  CHECK(block(order)->policy.binary_sha256[0] == 'x');  // the path is blocked once
  CHECK(Read(*store, "web-1").policies.size() == 2);
  order = {.path = "/bin/sh", .force = true};
  CHECK(block(order)->policy.forced);
}

TEST_CASE("a block-list is one policy, stored once for all sensors, and gone with the last of them") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  Enroll(*store, "web-2");
  const std::string digest(32, '\xab');
  orders::BinaryOrder order;
  order.list_name = "feed";
  order.list = {{"/tmp/b", ""}, {"", digest}, {"/tmp/a", digest}, {"/tmp/b", ""}};
  const auto block = [&](const std::string& sensor) {
    return Give(*store, [&](Transaction& tx) {
      return orders::BlockBinary(tx, By("olga"), sensor, order, {.action = PolicyAction::kSigkill});
    });
  };
  const auto lists = [&] { return database.Value("SELECT count(*) FROM block_lists"); };
  const auto sent = [&](const std::string& sensor_id) {
    return Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(sensor_id); }).value();
  };
  const auto first = block("web-1");
  REQUIRE_OK(first);
  CHECK(first->policy.name == "bulkhead-block-list-feed");
  CHECK(first->policy.block_list.size == 3);
  CHECK(first->policy.block_list.text.empty());
  const std::string text = absl::StrCat(ToHex(digest), "\n", ToHex(digest), "  /tmp/a\n/tmp/b\n");
  CHECK(first->policy.block_list.sha256 == Sha256(text));
  CHECK(sent(first->sensor.id).policies[0].block_list.text == text);
  CHECK(block("web-1")->unchanged);
  const auto other = block("web-2");
  REQUIRE_OK(other);
  CHECK(lists() == "1");

  // Another list of the name replaces it; the content stays as long as somebody has it.
  order.list.push_back({"/tmp/c", ""});
  const auto longer = block("web-1");
  REQUIRE_OK(longer);
  CHECK(Read(*store, "web-1").policies.size() == 1);
  CHECK(longer->sensor.desired_digest != first->sensor.desired_digest);
  CHECK(lists() == "2");
  REQUIRE_OK(Give(*store, [&](Transaction& tx) { return orders::DeletePolicy(tx, By("olga"), other->policy.id); }));
  CHECK(lists() == "1");
  REQUIRE_OK(Give(*store, [&](Transaction& tx) { return orders::DeletePolicy(tx, By("olga"), longer->policy.id); }));
  CHECK(lists() == "0");
}

TEST_CASE("block-lists of a sensor name at most 100 000 binaries, and what is wrong with one is said") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto block = [&](const orders::BinaryOrder& order) {
    return Give(*store, [&](Transaction& tx) {
      return orders::BlockBinary(tx, By("olga"), "web-1", order, {.action = PolicyAction::kSigkill});
    });
  };
  const auto list = [](const std::string& name, size_t count) {
    orders::BinaryOrder order;
    order.list_name = name;
    for (size_t i = 0; i < count; ++i) order.list.push_back({absl::StrCat("/nowhere/", i), ""});
    return order;
  };
  CHECK(FieldOf(block(list("feed", kMaxBlockedBinaries + 1)).status()) == "binary.list.binaries");
  REQUIRE_OK(block(list("feed", kMaxBlockedBinaries)));
  CHECK(block(list("feed", kMaxBlockedBinaries))->unchanged);
  CHECK(ReasonOf(block(list("more", 1)).status()) == "TOO_MANY_BLOCKED_BINARIES");
  REQUIRE_OK(block(list("feed", kMaxBlockedBinaries - 1)));
  REQUIRE_OK(block(list("more", 1)));
  REQUIRE_OK(block({.path = "/tmp/alone"}));  // a policy of its own counts on its own

  CHECK(FieldOf(block(list("two words", 1)).status()) == "binary.list.name");
  CHECK(FieldOf(block(list("", 1)).status()) == "binary.list.name");
  CHECK(FieldOf(block(list("feed", 0)).status()) == "binary.list.binaries");
  orders::BinaryOrder wrong = list("feed", 2);
  wrong.list[1].path = "relative";
  CHECK(FieldOf(block(wrong).status()) == "binary.list.binaries[1].path");
  wrong.list[1].path = "/tmp/line\nbreak";
  CHECK(FieldOf(block(wrong).status()) == "binary.list.binaries[1].path");
  wrong.list[1].path = "/bin/sh";
  CHECK(ReasonOf(block(wrong).status()) == "DANGEROUS_BINARY");
  wrong.force = true;
  wrong.path = "/tmp/x";
  CHECK(FieldOf(block(wrong).status()) == "binary.list");
}

TEST_CASE("a stale etag is refused and the current one is not") {
  const Database database;
  const auto store = database.Open();
  const Sensor seen = Enroll(*store, "web-1");
  REQUIRE_OK(Contain(*store, "web-1"));
  const absl::Status stale = Contain(*store, "web-1", By("petra", "", seen.etag)).status();
  CHECK_CODE(stale, kAborted);
  CHECK(ReasonOf(stale) == "STALE_ETAG");
  REQUIRE_OK(Contain(*store, "web-1", By("petra", "", Read(*store, "web-1").etag)));
}

TEST_CASE("two contains at once make one policy and one generation") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  for (absl::Status& result : results) {
    threads.emplace_back([&] { result = Contain(*store, "web-1").status(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CHECK_CODE(result, kOk);
  CHECK(Read(*store, "web-1").policies.size() == 1);
  CHECK(Read(*store, "web-1").desired_generation == 2);
  CHECK(database.Value("SELECT count(*) FROM audit_log WHERE action = 'sensor_contained' AND outcome = 'unchanged'") ==
        "7");
}

TEST_CASE("orders to a revoked or critical sensor are refused with the reason, revoking is not") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  SensorReport report;
  report.critical = {"the wall was detached"};
  REQUIRE_OK(store->RecordReport(OpenStream(*store, sensor.id), report, true));
  const absl::Status critical = Contain(*store, "web-1").status();
  CHECK(ReasonOf(critical) == "SENSOR_CRITICAL");
  CHECK(absl::StrContains(critical.message(), "the wall was detached"));
  const auto revoke = [&] {
    return Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("admin"), "web-1"); });
  };
  REQUIRE_OK(revoke());
  CHECK(revoke()->trust == Trust::kRevoked);
  CHECK(ReasonOf(Contain(*store, "web-1").status()) == "SENSOR_REVOKED");
  CHECK(ReasonOf(Kill(*store, "web-1", 100).status()) == "SENSOR_REVOKED");
  CHECK(AuditTrail(database) == "sensor_revoked:applied sensor_revoked:unchanged");
}

TEST_CASE("an order that the host cannot honour is refused, a weaker form only by consent") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  SensorReport report;
  report.capabilities = "known";
  report.containment_tier = Tier::kPartial;
  report.isolation_tier = Tier::kNone;
  REQUIRE_OK(store->RecordReport(OpenStream(*store, sensor.id), report, false));
  CHECK(ReasonOf(Contain(*store, "web-1").status()) == "MECHANISM_MISSING");
  REQUIRE_OK(Give(*store, [](Transaction& tx) {
    return orders::ContainSensor(tx, By("olga"), "web-1", {.allow_degraded = true});
  }));
  CHECK(ReasonOf(Give(*store, [](Transaction& tx) {
                   return orders::IsolateSensor(tx, By("olga"), "web-1", {.allow_degraded = true});
                 }).status()) == "MECHANISM_MISSING");
}

TEST_CASE("disable, enable and delete; the audit log outlives the sensor") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  REQUIRE_OK(Contain(*store, "web-1"));
  REQUIRE_OK(Kill(*store, "web-1", 4242));
  REQUIRE_OK(store->RecordReport(OpenStream(*store, sensor.id), SensorReport(), true));
  const auto set = [&](bool disabled) {
    return Give(*store, [&](Transaction& tx) { return orders::SetDisabled(tx, By("admin"), "web-1", disabled); });
  };
  CHECK(set(true)->disabled);
  CHECK_FALSE(set(false)->disabled);
  REQUIRE_OK(store->Run([](Transaction& tx) { return orders::DeleteSensor(tx, By("admin"), "web-1"); }));
  CHECK(ReasonOf(Contain(*store, "web-1").status()) == "SENSOR_NOT_FOUND");
  for (const char* const table : {"sensors", "sensor_reports", "enforcement_policies", "commands", "heartbeats"}) {
    CHECK(database.Value(std::string("SELECT count(*) FROM ") + table) == "0");
  }
  CHECK(AuditTrail(database) ==
        "sensor_contained:applied process_kill_ordered:applied sensor_disabled:applied sensor_enabled:applied "
        "sensor_deleted:applied");
  CHECK(Enroll(*store, "web-1").id != sensor.id);
}

}  // namespace
}  // namespace bulkhead::controlplane
