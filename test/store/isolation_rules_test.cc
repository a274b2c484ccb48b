// Isolation rules: global, and in the desired state of every isolated sensor from the transaction on that made them.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/desired_state_digest.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

IsolationRule Ssh(uint16_t port = 22) {
  IsolationRule rule;
  rule.first_port = rule.last_port = port;
  rule.protocol = 6;
  rule.direction = Direction::kInbound;
  rule.description = "ssh";
  return rule;
}

absl::StatusOr<orders::RuleChanged> Create(Store& store, const IsolationRule& rule) {
  return Give(store, [&](Transaction& tx) { return orders::CreateIsolationRule(tx, By("olga"), rule, absl::Now()); });
}

absl::StatusOr<orders::RuleChanged> Delete(Store& store, const std::string& id) {
  return Give(store, [&](Transaction& tx) { return orders::DeleteIsolationRule(tx, By("olga"), id); });
}

// The stored digest must be that of the stored content, or sensors would report a drift that is none.
void CheckDigest(Store& store, const std::string& sensor_id) {
  const auto state = Give(store, [&](Transaction& tx) { return tx.GetDesiredState(sensor_id); });
  REQUIRE_OK(state);
  CHECK(state->digest == DesiredStateDigest(sensor_id, state->policies, IsolationRulesDigest(state->isolation_rules)));
}

TEST_CASE("a rule reaches the isolated sensors and no others, and leaves with its deletion") {
  const Database database;
  const auto store = database.Open();
  const Sensor isolated = Enroll(*store, "isolated");
  const Sensor open = Enroll(*store, "open");
  REQUIRE_OK(Isolate(*store, "isolated"));
  const auto created = Create(*store, Ssh());
  REQUIRE_OK(created);
  CHECK(created->sensors_affected == 1);
  CHECK(created->rule.created_by == "olga");
  const auto state = Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(isolated.id); });
  CHECK(state->generation == 3);
  CHECK(state->isolation_rules.size() == 1);
  CHECK(state->isolation_rules[0].first_port == 22);
  CheckDigest(*store, isolated.id);
  CHECK(Read(*store, "open").desired_generation == 1);
  CHECK(Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(open.id); })->isolation_rules.empty());
  CHECK(Delete(*store, created->rule.id)->sensors_affected == 1);
  CHECK(Read(*store, "isolated").desired_generation == 4);
  CheckDigest(*store, isolated.id);
  CHECK_CODE(Delete(*store, created->rule.id), kNotFound);
}

TEST_CASE("the same rule twice is refused, whatever it is called; another meaning is not") {
  const Database database;
  const auto store = database.Open();
  REQUIRE_OK(Create(*store, Ssh()));
  IsolationRule again = Ssh();
  again.description = "other words";
  CHECK(ReasonOf(Create(*store, again).status()) == "ISOLATION_RULE_EXISTS");
  IsolationRule prefix = Ssh();
  prefix.remote = *IpPrefix::Parse("10.0.0.0/8");
  REQUIRE_OK(Create(*store, prefix));
  CHECK_CODE(Create(*store, prefix), kAlreadyExists);
  prefix.remote = *IpPrefix::Parse("2001:db8::1");
  REQUIRE_OK(Create(*store, prefix));
  prefix.remote = *IpPrefix::Parse("0.0.0.0/0");
  REQUIRE_OK(Create(*store, prefix));
  const auto page = Give(*store, [](Transaction& tx) { return tx.ListIsolationRules(100, ""); });
  REQUIRE(page->items.size() == 4);
  CHECK(page->items[0].remote.is_any());
  CHECK(page->items[1].remote.ToString() == "10.0.0.0/8");
  CHECK(page->items[2].remote.ToString() == "2001:db8::1");
  CHECK(page->items[3].remote.ToString() == "0.0.0.0/0");
}

TEST_CASE("an invalid rule is refused before the database sees it") {
  const Database database;
  const auto store = database.Open();
  IsolationRule rule = Ssh();
  rule.protocol = 1;
  CHECK(FieldOf(Create(*store, rule).status()) == "rule.ports");
}

TEST_CASE("the ten-thousandth rule is the last") {
  const Database database;
  const auto store = database.Open();
  database.Execute(
      "INSERT INTO rules (id, remote, direction, created_at, created_by) SELECT gen_random_uuid(),"
      " ('10.0.' || (n / 250) || '.' || (n % 250) || '/32')::cidr, 'any', now(), 'olga' FROM generate_series(1, 9999) "
      "n");
  REQUIRE_OK(Create(*store, Ssh(1)));
  CHECK_CODE(Create(*store, Ssh(2)), kResourceExhausted);
}

TEST_CASE("rules that change while sensors are isolated leave every digest right") {
  const Database database;
  const auto store = database.Open();
  std::vector<Sensor> sensors;
  for (int i = 0; i < 4; ++i) sensors.push_back(Enroll(*store, absl::StrCat("web-", i)));
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { results[i] = Isolate(*store, absl::StrCat("web-", i)).status(); });
    threads.emplace_back([&, i] { results[4 + i] = Create(*store, Ssh(static_cast<uint16_t>(100 + i))).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CHECK_CODE(result, kOk);
  for (const Sensor& sensor : sensors) {
    CheckDigest(*store, sensor.id);
    CHECK(Give(*store, [&](Transaction& tx) { return tx.GetDesiredState(sensor.id); })->isolation_rules.size() == 4);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane
