// Labels in the database: from tokens, changed, and what each selector finds.
#include <catch2/catch.hpp>

#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

LabelSelector Parse(const std::string& text) {
  const auto selector = ParseLabelSelector("label_selector", text);
  REQUIRE_OK(selector);
  return *selector;
}

// Names of what a list finds, "a b c".
std::string Listed(Store& store, const std::string& selector, int page_size = 100) {
  std::string names, token;
  do {
    const auto page = Give(store, [&](Transaction& tx) {
      return tx.ListSensors({.selector = Parse(selector), .filter_text = selector}, page_size, token);
    });
    REQUIRE_OK(page);
    for (const Sensor& sensor : page->items) names += (names.empty() ? "" : " ") + sensor.name;
    token = page->next_page_token;
  } while (!token.empty());
  return names;
}

std::string Chosen(Store& store, const std::string& selector) {
  const auto targets = Give(store, [&](Transaction& tx) { return tx.SelectTargets(Parse(selector)); });
  REQUIRE_OK(targets);
  std::string names;
  for (const RolloutTarget& target : *targets) names += (names.empty() ? "" : " ") + target.sensor_name;
  return names;
}

absl::StatusOr<Sensor> Label(Store& store, const std::string& sensor, const Labels& labels,
                             const OrderContext& context = By("admin")) {
  return Give(store, [&](Transaction& tx) { return orders::SetLabels(tx, context, sensor, labels); });
}

TEST_CASE("every kind of selector finds what it says, in lists and for rollouts") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "db-1", {{"env", "prod"}, {"role", "db"}});
  Enroll(*store, "lab-1", {{"env", "lab"}, {"role", "web"}, {"canary", ""}});
  Enroll(*store, "none-1");
  Enroll(*store, "web-1", {{"env", "prod"}, {"role", "web"}});
  Enroll(*store, "web-2", {{"env", "prod"}, {"role", "web"}, {"canary", ""}});
  const std::pair<std::string, std::string> cases[] = {
      {"", "db-1 lab-1 none-1 web-1 web-2"},
      {"env=prod", "db-1 web-1 web-2"},
      {"env=prod,role=web", "web-1 web-2"},
      {"env=PROD", ""},
      {"env!=prod", "lab-1 none-1"},
      {"env!=prod,env!=lab", "none-1"},
      {"canary", "lab-1 web-2"},
      {"!canary", "db-1 none-1 web-1"},
      {"!canary,!env", "none-1"},
      {"canary=", "lab-1 web-2"},
      {"canary,!canary", ""},
      {"env=prod,role!=db,!canary", "web-1"},
      {"env=prod,env!=prod", ""},
  };
  for (const auto& [selector, names] : cases) {
    INFO(selector);
    CHECK(Listed(*store, selector) == names);
    CHECK(Listed(*store, selector, 1) == names);
    CHECK(Chosen(*store, selector) == names);
  }
}

TEST_CASE("revoked and disabled sensors are listed, and not chosen for a rollout") {
  const Database database;
  const auto store = database.Open();
  for (const char* name : {"web-1", "web-2", "web-3"}) Enroll(*store, name, {{"env", "prod"}});
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("admin"), "web-1"); }));
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::SetDisabled(tx, By("admin"), "web-2", true); }));
  CHECK(Listed(*store, "env=prod") == "web-1 web-2 web-3");
  CHECK(Chosen(*store, "env=prod") == "web-3");
  CHECK(Chosen(*store, "") == "web-3");
}

TEST_CASE("a page token belongs to its selector") {
  const Database database;
  const auto store = database.Open();
  for (const char* name : {"web-1", "web-2"}) Enroll(*store, name, {{"env", "prod"}});
  const auto list = [&](const std::string& selector, const std::string& token) {
    return Give(*store, [&](Transaction& tx) {
      return tx.ListSensors({.selector = Parse(selector), .filter_text = selector}, 1, token);
    });
  };
  const auto first = list("env=prod", "");
  REQUIRE_OK(first);
  REQUIRE_OK(list("env=prod", first->next_page_token));
  CHECK(FieldOf(list("env", first->next_page_token).status()) == "page_token");
}

TEST_CASE("labels are replaced as a whole, with etag and audit record; nothing else of the sensor changes") {
  const Database database;
  const auto store = database.Open();
  const Sensor before = Enroll(*store, "web-1", {{"env", "lab"}});
  CHECK(before.labels == Labels{{"env", "lab"}});
  const auto labelled = Label(*store, "web-1", {{"rack", "7"}});
  REQUIRE_OK(labelled);
  CHECK(labelled->labels == Labels{{"rack", "7"}});
  CHECK(labelled->etag != before.etag);
  CHECK(labelled->desired_generation == before.desired_generation);
  CHECK(database.Value("SELECT details FROM audit_log WHERE action = 'sensor_labelled'") ==
        R"({"name":"web-1","labels":"rack=7","labels_before":"env=lab"})");
  REQUIRE_OK(Label(*store, "web-1", {{"rack", "7"}}));
  CHECK(database.Value("SELECT outcome FROM audit_log ORDER BY sequence DESC LIMIT 1") == "unchanged");
  CHECK_CODE(Label(*store, "web-1", {}, By("admin", "", before.etag)), kAborted);
  CHECK_CODE(Label(*store, "web-1", {{"Bad", "x"}}), kInvalidArgument);
  CHECK(Read(*store, "web-1").labels == Labels{{"rack", "7"}});
  REQUIRE_OK(Label(*store, "web-1", {}));
  CHECK(Read(*store, "web-1").labels.empty());
}

TEST_CASE("a token's labels are checked when it is made, and not given to a sensor that is restored") {
  const Database database;
  const auto store = database.Open();
  const auto make = [&](const std::string& reenroll, const Labels& labels) {
    return Give(*store, [&](Transaction& tx) {
      return orders::CreateToken(
          tx, By("admin"), {.label = "", .ttl = {}, .reenroll_sensor = reenroll, .sensor_labels = labels}, absl::Now());
    });
  };
  CHECK(FieldOf(make("", {{"Env", "x"}}).status()) == "sensor_labels");
  Enroll(*store, "web-1", {{"env", "prod"}});
  CHECK(FieldOf(make("web-1", {{"env", "lab"}}).status()) == "sensor_labels");
  const auto token = make("", {{"env", "lab"}});
  REQUIRE_OK(token);
  CHECK(token->token.sensor_labels == Labels{{"env", "lab"}});
}

}  // namespace
}  // namespace bulkhead::controlplane
