// Heartbeats in batches: each answered as it would be alone, none over a later report, and nobody waited for.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

struct Fixture {
  Database database;
  std::unique_ptr<Store> store = database.Open();

  // Enrolls a sensor and opens its stream, whose first report says `degraded`.
  Ownership Open(const std::string& name) {
    const Ownership owner = OpenStream(*store, Enroll(*store, name).id);
    SensorReport report;
    report.number = 1;
    report.degraded = {"weak"};
    REQUIRE_OK(store->RecordReport(owner, report, false));
    return owner;
  }
  std::vector<absl::StatusOr<OrderedState>> Record(const std::vector<PlainHeartbeat>& heartbeats) {
    auto answers = store->RecordHeartbeats(heartbeats);
    REQUIRE_OK(answers);
    REQUIRE(answers->size() == heartbeats.size());
    return *std::move(answers);
  }
};

TEST_CASE_METHOD(Fixture, "a batch stores each and answers each in its place") {
  const Ownership one = Open("web-1");
  const Ownership two = Open("web-2");
  REQUIRE_OK(Contain(*store, "web-2"));
  REQUIRE_OK(Kill(*store, "web-2", 4242));
  const std::string blob("\0\\\"{},\xff", 7);
  const auto answers = Record({{two, 2, blob}, {{NewUuid(), 1}, 2, ""}, {one, 2, "alive"}});
  REQUIRE_OK(answers[0]);
  CHECK(answers[0]->generation == 2);
  CHECK(answers[0]->open_commands);
  CHECK_CODE(answers[1], kNotFound);
  REQUIRE_OK(answers[2]);
  CHECK(answers[2]->generation == 1);
  CHECK(answers[2]->digest.size() == 32);
  CHECK_FALSE(answers[2]->open_commands);
  CHECK(Read(*store, "web-1").report.observed == "alive");
  CHECK(Read(*store, "web-1").last_heartbeat_at.has_value());
  CHECK(Read(*store, "web-2").report.observed == blob);
  CHECK(Read(*store, "web-2").report.degraded == std::vector<std::string>{"weak"});
  CHECK(database.Value("SELECT count(*) || ' ' || sum(degraded_count) FROM heartbeats") == "2 2");
  CHECK(Record({}).empty());
}

TEST_CASE_METHOD(Fixture, "a heartbeat that is stored late does not hide a later report of its stream") {
  const Ownership owner = Open("web-1");
  SensorReport later;
  later.number = 5;
  later.observed = "later";
  REQUIRE_OK(store->RecordReport(owner, later, true));
  REQUIRE_OK(Record({{owner, 4, "earlier"}})[0]);
  CHECK(Read(*store, "web-1").report.observed == "later");
  REQUIRE_OK(Record({{owner, 6, "last"}})[0]);
  CHECK(Read(*store, "web-1").report.observed == "last");
  // A new stream counts from 1 again.
  const Ownership next = OpenStream(*store, owner.sensor_id);
  REQUIRE_OK(Record({{next, 1, "new stream"}})[0]);
  CHECK(Read(*store, "web-1").report.observed == "new stream");
}

TEST_CASE_METHOD(Fixture, "a heartbeat whose whole report the database lost stores nothing and says so") {
  const Ownership owner = Open("web-1");
  REQUIRE_OK(Record({{owner, 2, "kept", 1}})[0]);
  // What a standby has when the primary dies with the report that was stored third.
  const auto answers = Record({{owner, 4, "half a truth", 3}});
  CHECK(IsReportMissing(answers[0].status()));
  CHECK(Read(*store, "web-1").report.observed == "kept");
}

TEST_CASE_METHOD(Fixture, "a stream that lost its sensor learns it in the batch, and stores nothing") {
  const Ownership older = Open("web-1");
  const Ownership newer = OpenStream(*store, older.sensor_id);
  const auto answers = Record({{older, 7, "old"}, {newer, 1, "new"}});
  CHECK(IsStreamSuperseded(answers[0].status()));
  REQUIRE_OK(answers[1]);
  CHECK(Read(*store, "web-1").report.observed == "new");
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("ada"), "web-1"); }));
  CHECK(Record({{newer, 2, "x"}})[0]->trust == Trust::kRevoked);
}

TEST_CASE_METHOD(Fixture, "a sensor that somebody has locked delays no other, and is answered all the same") {
  const Ownership locked = Open("web-1");
  const Ownership free = Open("web-2");
  pqxx::connection other(database.connection_string());
  pqxx::work work(other);
  work.exec(absl::StrCat("SELECT FROM sensor_reports WHERE sensor_id = '", locked.sensor_id, "' FOR UPDATE"));
  const absl::Time start = absl::Now();
  const auto answers = Record({{locked, 2, "not yet"}, {free, 2, "stored"}});
  CHECK(absl::Now() - start < absl::Seconds(5));
  REQUIRE_OK(answers[0]);
  REQUIRE_OK(answers[1]);
  work.abort();
  CHECK(Read(*store, "web-1").report.observed.empty());
  CHECK(Read(*store, "web-2").report.observed == "stored");
}

TEST_CASE_METHOD(Fixture, "two replicas with the same sensors in another order do not block each other") {
  std::vector<PlainHeartbeat> forth;
  for (int i = 0; i < 30; ++i) forth.push_back({Open(absl::StrCat("web-", i)), 2, "x"});
  std::vector<PlainHeartbeat> back(forth.rbegin(), forth.rend());
  const auto other = database.Open();
  std::vector<absl::Status> results(2);
  std::vector<std::thread> threads;
  for (int side = 0; side < 2; ++side) {
    threads.emplace_back([&, side] {
      std::vector<PlainHeartbeat> mine = side == 0 ? forth : back;
      for (uint64_t n = 2; n < 40; ++n) {
        for (PlainHeartbeat& heartbeat : mine) heartbeat.number = n;
        results[static_cast<size_t>(side)].Update((side == 0 ? *store : *other).RecordHeartbeats(mine).status());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_CODE(results[0], kOk);
  CHECK_CODE(results[1], kOk);
  CHECK(database.Value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == "0");
}

}  // namespace
}  // namespace bulkhead::controlplane
