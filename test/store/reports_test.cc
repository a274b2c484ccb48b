// What sensors report, retention, and the lists that operators read.
#include <catch2/catch.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

SensorReport FullReport() {
  SensorReport report;
  report.host_info = std::string("\0host", 5);
  report.capabilities = "capabilities";
  report.observed = "observed";
  report.boot_id = "123e4567-e89b-42d3-a456-426614174000";
  report.observed_generation = 7;
  report.observed_digest = std::string(32, '\0');
  report.degraded = {"a, \"quoted\" \\ one", "", "NULL", "{braces}"};
  report.containment_tier = Tier::kFull;
  report.isolation_tier = Tier::kWall;
  report.block_binary_tier = Tier::kPartial;
  return report;
}

TEST_CASE("a report comes back as it was sent, and makes no order wait") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const Ownership owner = OpenStream(*store, sensor.id);
  // While an order holds the sensor's row, its heartbeats are stored all the same.
  absl::Status heartbeat = absl::UnknownError("not run");
  REQUIRE_OK(store->Run([&](Transaction& tx) {
    const absl::Status locked = tx.GetSensor("web-1", /*lock=*/true).status();
    heartbeat = store->RecordReport(owner, FullReport(), true).status();
    return locked;
  }));
  REQUIRE_OK(heartbeat);
  const Sensor stored = Read(*store, "web-1");
  CHECK(stored.report.host_info == FullReport().host_info);
  CHECK(stored.report.observed_digest == FullReport().observed_digest);
  CHECK(stored.report.degraded == FullReport().degraded);
  CHECK(stored.report.critical.empty());
  CHECK(stored.report.observed_generation == 7);
  CHECK(stored.report.block_binary_tier == Tier::kPartial);
  CHECK(stored.observed_at.has_value());
  CHECK(stored.last_heartbeat_at.has_value());
  CHECK(stored.etag == sensor.etag);
}

TEST_CASE("a heartbeat keeps what only a hello carries, and is kept as history") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const Ownership owner = OpenStream(*store, sensor.id);
  REQUIRE_OK(store->RecordReport(owner, FullReport(), false));
  CHECK_FALSE(Read(*store, "web-1").last_heartbeat_at.has_value());
  SensorReport beat;
  beat.observed = "later";
  REQUIRE_OK(store->RecordReport(owner, beat, true));
  const Sensor stored = Read(*store, "web-1");
  CHECK(stored.report.capabilities == "capabilities");
  CHECK(stored.report.containment_tier == Tier::kFull);
  CHECK(stored.report.boot_id == FullReport().boot_id);
  CHECK(stored.report.observed == "later");
  CHECK(database.Value("SELECT count(*) FROM heartbeats") == "1");
  CHECK_CODE(store->RecordReport({"123e4567-e89b-42d3-a456-426614174000", 1}, beat, true), kNotFound);
  beat.observed_generation = ~uint64_t{0};
  CHECK_CODE(store->RecordReport(owner, beat, true), kInvalidArgument);
}

TEST_CASE("a failed generation is remembered until a newer one is applied") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const Ownership owner = OpenStream(*store, sensor.id);
  REQUIRE_OK(store->RecordPolicyStatus(owner, 5, false, "map full"));
  REQUIRE_OK(store->RecordPolicyStatus(owner, 4, true, ""));
  CHECK(Read(*store, "web-1").failed_generation == 5);
  REQUIRE_OK(store->RecordPolicyStatus(owner, 4, false, "late"));
  CHECK(Read(*store, "web-1").failed_reason == "map full");
  REQUIRE_OK(store->RecordPolicyStatus(owner, 6, true, ""));
  CHECK(Read(*store, "web-1").failed_generation == 0);
  CHECK(Read(*store, "web-1").failed_reason.empty());
}

TEST_CASE("the sweep deletes what is old and leaves what is not") {
  const Database database;
  const auto store = database.Open();
  const auto order = [](Transaction&) -> absl::StatusOr<std::string> { return "done"; };
  REQUIRE_OK(store->RunOrder(By("olga", "old"), "print", order));
  REQUIRE_OK(store->RunOrder(By("olga", "new"), "print", order));
  database.Execute("UPDATE order_requests SET created_at = now() - interval '25 hours' WHERE request_id = 'old'");
  CHECK(store->Sweep().value() == 1);
  CHECK(database.Value("SELECT string_agg(request_id, ' ') FROM order_requests") == "new");
  CHECK(store->Sweep().value() == 0);
}

TEST_CASE("sensors are listed by name, by prefix, each once, page by page") {
  const Database database;
  const auto store = database.Open();
  for (const char* const name : {"web-3", "web-1", "db-1", "web-2", "web"}) Enroll(*store, name);
  REQUIRE_OK(Contain(*store, "web-2"));
  std::vector<std::string> names;
  std::string token;
  do {
    const auto page = Give(*store, [&](Transaction& tx) { return tx.ListSensors({.name_prefix = "web"}, 2, token); });
    REQUIRE_OK(page);
    for (const Sensor& sensor : page->items) {
      names.push_back(sensor.name);
      CHECK(sensor.policies.size() == (sensor.name == "web-2" ? 1 : 0));
    }
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(names == std::vector<std::string>{"web", "web-1", "web-2", "web-3"});
  const auto list = [&](const std::string& prefix, int size, const std::string& after) {
    return Give(*store, [&](Transaction& tx) { return tx.ListSensors({.name_prefix = prefix}, size, after); });
  };
  const std::string next = list("web", 2, "")->next_page_token;
  CHECK_CODE(list("db", 2, next), kInvalidArgument);
  CHECK_CODE(list("", 1001, ""), kInvalidArgument);
  CHECK_CODE(list("", 2, "junk"), kInvalidArgument);
  CHECK(list("%", 2, "")->items.empty());
}

TEST_CASE("policies, rules and tokens are listed whole in pages of any size") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  Enroll(*store, "web-2");
  REQUIRE_OK(Contain(*store, "web-2"));
  for (int i = 0; i < 5; ++i) {
    REQUIRE_OK(Give(*store, [&](Transaction& tx) {
      return orders::BlockBinary(tx, By("olga"), "web-1", {.path = absl::StrCat("/opt/x", i)},
                                 {.action = PolicyAction::kSigkill});
    }));
    REQUIRE_OK(Give(*store, [&](Transaction& tx) {
      IsolationRule rule;
      rule.protocol = static_cast<uint8_t>(10 + i);
      return orders::CreateIsolationRule(tx, By("olga"), rule, absl::FromUnixSeconds(1790000000));
    }));
    MakeToken(*store);
  }
  const auto walk = [&](auto list) {
    std::set<std::string> ids;
    size_t count = 0;
    std::string token;
    do {
      const auto page = Give(*store, [&](Transaction& tx) { return list(tx, token); });
      REQUIRE_OK(page);
      for (const auto& item : page->items) ids.insert(item.id);
      count += page->items.size();
      token = page->next_page_token;
    } while (!token.empty());
    CHECK(ids.size() == count);
    return count;
  };
  CHECK(walk([&](Transaction& tx, const std::string& token) { return tx.ListPolicies(sensor.id, 2, token); }) == 5);
  CHECK(walk([&](Transaction& tx, const std::string& token) { return tx.ListPolicies("", 4, token); }) == 6);
  CHECK(walk([&](Transaction& tx, const std::string& token) { return tx.ListIsolationRules(2, token); }) == 5);
  CHECK(walk([&](Transaction& tx, const std::string& token) { return tx.ListTokens(3, token); }) == 7);
}

TEST_CASE("names that are no names find nothing, quietly") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web");
  for (const std::string& name :
       {std::string("web\0x", 5), std::string("' OR 1=1 --"), std::string("%"), std::string()}) {
    CHECK_CODE(Give(*store, [&](Transaction& tx) { return tx.GetSensor(name, false); }), kNotFound);
    CHECK_CODE(Give(*store, [&](Transaction& tx) { return tx.GetPolicy(name); }), kNotFound);
    CHECK_CODE(Give(*store, [&](Transaction& tx) { return tx.GetCommand(name); }), kNotFound);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane
