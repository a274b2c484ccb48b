// What monitoring asks of the database, what the observer is told, and whether the schema is the program's.
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

struct Counts : StoreObserver {
  void OnStatement(absl::string_view operation, absl::Duration time) override {
    absl::MutexLock lock(&mutex);
    ++statements[std::string(operation)];
    shortest = std::min(shortest, time);
  }
  void OnFailure(absl::StatusCode code) override {
    absl::MutexLock lock(&mutex);
    failures.push_back(code);
  }
  void OnAudited(const std::string& action, const std::string& outcome) override {
    absl::MutexLock lock(&mutex);
    ++audited[action + " " + outcome];
  }
  void OnNotification() override {}

  absl::Mutex mutex;
  std::map<std::string, int> statements;
  std::map<std::string, int> audited;
  std::vector<absl::StatusCode> failures;
  absl::Duration shortest = absl::InfiniteDuration();
};

TEST_CASE("the observer hears of statements, of the database's failures, and of what was committed") {
  const Database database;
  Counts counts;
  auto opened = Store::Open({.connection_string = database.connection_string(), .observer = &counts});
  REQUIRE_OK(opened);
  Store& store = **opened;
  Enroll(store, "web-1");
  REQUIRE_OK(Contain(store, "web-1"));
  CHECK(counts.audited["sensor_contained applied"] == 1);
  CHECK(counts.statements["store a policy"] == 1);
  CHECK(counts.statements["commit"] > 0);
  CHECK(counts.shortest >= absl::ZeroDuration());
  CHECK(counts.failures.empty());
  // An order that is refused is no failure of the database; one that is undone was never accepted.
  CHECK(absl::IsNotFound(Contain(store, "web-9").status()));
  CHECK(counts.failures.empty());
  REQUIRE_OK(store.Run([&](Transaction& tx) -> absl::Status {
    const absl::Status undone = tx.Attempt([&]() -> absl::Status {
      CHECK(orders::IsolateSensor(tx, By("olga"), "web-1", {}).ok());
      return absl::CancelledError("only tried");
    });
    CHECK(absl::IsCancelled(undone));
    return absl::OkStatus();
  }));
  CHECK(counts.audited.count("sensor_isolated applied") == 0);
  REQUIRE_FALSE(store
                    .Run([&](Transaction& tx) {
                      return tx.InsertPolicy({.id = NewUuid(), .name = "bad", .sensor_id = NewUuid()});
                    })
                    .ok());
  CHECK(counts.failures.size() == 1);
}

TEST_CASE("figures count by state") {
  const Database database;
  const auto store = database.Open();
  const Sensor web = Enroll(*store, "web-1");
  REQUIRE_OK(Contain(*store, "web-1"));
  REQUIRE_OK(Kill(*store, "web-1", 4242));
  OpenStream(*store, web.id);
  const auto figures = store->ReadFigures();
  REQUIRE_OK(figures);
  CHECK(figures->open_commands == std::map<std::string, int64_t>{{"queued", 1}});
  CHECK(figures->policies.at({"network-containment", "pending"}) == 1);
  CHECK(figures->replicas == 1);
  CHECK(figures->audit_head >= 3);
  CHECK(figures->finished_commands.empty());
}

TEST_CASE("a policy is marked enforced once, by the stream that owns the sensor, for what is ordered now") {
  const Database database;
  const auto store = database.Open();
  const Sensor web = Enroll(*store, "web-1");
  const auto contained = Contain(*store, "web-1");
  REQUIRE_OK(contained);
  const Sensor ordered = Read(*store, "web-1");
  const Ownership older = OpenStream(*store, web.id);
  const Ownership owner = OpenStream(*store, web.id);
  const std::vector<std::string> ids = {ordered.policies[0].id, "not an id", NewUuid()};
  const auto mark = [&](const Ownership& by, uint64_t generation, const std::string& digest) {
    const auto marked = store->RecordEnforced(by, generation, digest, ids);
    REQUIRE_OK(marked);
    return marked->size();
  };
  CHECK(mark(older, ordered.desired_generation, ordered.desired_digest) == 0);
  CHECK(mark(owner, ordered.desired_generation - 1, ordered.desired_digest) == 0);
  CHECK(mark(owner, ordered.desired_generation, std::string(32, 'x')) == 0);
  CHECK(mark(owner, ordered.desired_generation, ordered.desired_digest) == 1);
  CHECK(mark(owner, ordered.desired_generation, ordered.desired_digest) == 0);
  CHECK(store->ReadFigures()->policies.at({"network-containment", "enforced"}) == 1);
}

TEST_CASE("a database that lacks a migration is told apart from one that a newer program migrated") {
  const Database database;
  const auto store = database.Open();
  REQUIRE_OK(store->CheckSchema());
  database.Execute(
      "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, 'newer', decode(repeat('ab', 32), "
      "'hex'))");
  REQUIRE_OK(store->CheckSchema());
  database.Execute("DELETE FROM schema_migrations WHERE version = 2");
  CHECK(absl::IsFailedPrecondition(store->CheckSchema()));
}

TEST_CASE("the big parts of sensors are read only when they are asked for") {
  const Database database;
  const auto store = database.Open();
  const Sensor web = Enroll(*store, "web-1");
  SensorReport report;
  report.host_info = "host";
  report.capabilities = "capabilities";
  report.observed = "observed";
  REQUIRE_OK(store->RecordReport(OpenStream(*store, web.id), report, /*heartbeat=*/false));
  for (const bool filtered : {false, true}) {
    SensorQuery query;
    query.parts = {.observed = true, .host = false, .capabilities = false};
    if (filtered) query.keep = [](const Sensor& sensor) { return sensor.report.observed.empty(); };
    const auto page = Give(*store, [&](Transaction& tx) { return tx.ListSensors(query, 10, ""); });
    REQUIRE_OK(page);
    REQUIRE(page->items.size() == 1);
    CHECK(page->items[0].report.observed == "observed");
    CHECK(page->items[0].report.host_info.empty());
    CHECK(page->items[0].report.capabilities.empty());
  }
}

TEST_CASE("what changed since a moment, and what did not") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  Enroll(*store, "db-1");
  Enroll(*store, "old-1");
  const auto moment = Give(*store, [](Transaction& tx) { return tx.Moment(); });
  REQUIRE_OK(moment);
  REQUIRE_OK(Contain(*store, "web-1"));
  REQUIRE_OK(store->Run([](Transaction& tx) -> absl::Status {
    const auto old = tx.GetSensor("old-1", /*lock=*/true);
    return old.ok() ? tx.DeleteSensor(old->id) : old.status();
  }));
  SensorQuery query;
  query.changed_since = moment->transaction;
  const auto page = Give(*store, [&](Transaction& tx) { return tx.ListSensors(query, 10, ""); });
  REQUIRE_OK(page);
  REQUIRE(page->items.size() == 2);
  CHECK_FALSE(page->items[0].maybe_changed);  // db-1
  CHECK(page->items[1].maybe_changed);        // web-1
  const auto deleted = Give(*store, [&](Transaction& tx) { return tx.DeletedSince(moment->transaction); });
  REQUIRE_OK(deleted);
  REQUIRE(deleted->size() == 1);
  CHECK(deleted->front().name == "old-1");
}

}  // namespace
}  // namespace bulkhead::controlplane
