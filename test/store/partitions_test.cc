// Partitions by day: there when they are needed, gone when they are old, and nothing lost when a clock or a replica
// fails.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controlplane/store/migrations.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

const Retention kMonth{.heartbeats = absl::Hours(24 * 7), .events = absl::Hours(24 * 30)};

struct Fixture {
  Database database;
  std::unique_ptr<Store> store = database.Open();
  Sensor sensor = Enroll(*store, "web-1");

  // Rows as if received so many days ago.
  void Insert(const std::string& table, int days_ago, int rows = 1) {
    const std::string when = absl::StrCat("now() - interval '", days_ago, " days'");
    const std::string from = absl::StrCat(" FROM generate_series(1, ", rows, ") n");
    database.Execute(
        table == "events"
            ? absl::StrCat("INSERT INTO events (sensor_id, received_at, run_id, sequence, lost_before, kind,"
                           " policy_id, pid, comm, detail, uid, parent_pid, parent_comm, cgroup, container)"
                           " SELECT '",
                           sensor.id, "', ", when,
                           ", gen_random_uuid(), n, 0, 2, '', 0, '', '',"
                           " 0, 0, '', '', ''",
                           from)
            : absl::StrCat("INSERT INTO heartbeats (sensor_id, received_at, observed_generation,"
                           " observed_digest, degraded_count, critical_count) SELECT '",
                           sensor.id, "', ", when, ", 1, '', 0, 0", from));
  }
  // A partition of some day, as it was made then.
  void MakePartition(const std::string& table, int days_ago) {
    database.Execute(absl::StrCat("DO $$ DECLARE day date := (now() AT TIME ZONE 'UTC')::date - ", days_ago,
                                  "; BEGIN SET LOCAL TimeZone = 'UTC'; EXECUTE format('CREATE TABLE %I PARTITION OF ",
                                  table, " FOR VALUES FROM (%L) TO (%L)', '", table,
                                  "' || to_char(day, '_YYYYMMDD'), day, day + 1);"
                                  " END $$"));
  }
  std::string Partitions(const std::string& table) {
    return database.Value(absl::StrCat("SELECT count(*) FROM pg_inherits WHERE inhparent = '", table, "'::regclass"));
  }
  std::string Rows(const std::string& table) { return database.Value(absl::StrCat("SELECT count(*) FROM ", table)); }
};

TEST_CASE_METHOD(Fixture, "today and three days more have their partitions, and rows go into them") {
  for (const char* const table : {"events", "heartbeats"}) {
    CHECK(Partitions(table) == "5");
    Insert(table, 0, 3);
    CHECK(Rows(absl::StrCat(table, "_default")) == "0");
  }
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 0);
  CHECK(Partitions("events") == "5");
}

TEST_CASE_METHOD(Fixture,
                 "a partition that is missing at midnight loses nothing, and is made with what came meanwhile") {
  for (const char* const table : {"events", "heartbeats"}) {
    database.Execute(absl::StrCat("DO $$ BEGIN EXECUTE 'DROP TABLE ", table,
                                  "' || to_char(now() AT TIME ZONE 'UTC', '_YYYYMMDD'); END $$"));
    Insert(table, 0, 3);
    CHECK(Rows(absl::StrCat(table, "_default")) == "3");
    CHECK(Rows(table) == "3");
  }
  REQUIRE_OK(store->KeepPartitions(kMonth, absl::Now()));
  for (const char* const table : {"events", "heartbeats"}) {
    CHECK(Partitions(table) == "5");
    CHECK(Rows(absl::StrCat(table, "_default")) == "0");
    CHECK(Rows(table) == "3");
  }
}

TEST_CASE_METHOD(Fixture, "what waits in the default partition beyond reason stays there, readable") {
  database.Execute(
      "DO $$ BEGIN EXECUTE 'DROP TABLE heartbeats' || to_char(now() AT TIME ZONE 'UTC', '_YYYYMMDD'); END $$");
  Insert("heartbeats", 0, 100'001);
  REQUIRE_OK(store->KeepPartitions(kMonth, absl::Now()));
  CHECK(Partitions("heartbeats") == "4");
  CHECK(Rows("heartbeats") == "100001");
}

TEST_CASE_METHOD(Fixture, "what is old goes with its partition; whole days only; the rest stays") {
  for (const int days : {40, 32, 29, 9, 6}) {
    for (const char* const table : {"events", "heartbeats"}) {
      MakePartition(table, days);
      Insert(table, days);
    }
  }
  Insert("events", 100, 5);  // in the default partition
  Insert("events", 3);
  database.Execute(absl::StrCat("INSERT INTO event_days SELECT '", sensor.id,
                                "', current_date - n, 2, 1, 0, 0 FROM unnest(ARRAY[0, 29, 45]) n"));
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 2 + 4 + 5 + 1);
  CHECK(Rows("events") == "4");
  CHECK(Rows("events_default") == "1");
  CHECK(Rows("heartbeats") == "1");
  CHECK(Rows("event_days") == "2");
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 0);
}

TEST_CASE_METHOD(Fixture, "one clock that is wrong, in either direction, has nothing removed") {
  MakePartition("events", 40);
  Insert("events", 40);
  Insert("events", 50);
  // The replica's clock was set back by a month: nothing is old for it. Set forward, the database's clock decides.
  CHECK(store->KeepPartitions(kMonth, absl::Now() - absl::Hours(24 * 31)).value() == 0);
  Insert("events", 10);
  MakePartition("events", 12);
  CHECK(store->KeepPartitions(kMonth, absl::Now() + absl::Hours(24 * 365)).value() == 2);
  CHECK(Rows("events") == "1");
}

TEST_CASE_METHOD(Fixture, "rows of a day that was, or is yet to come by a clock that went back, are kept") {
  Insert("events", 2);
  Insert("events", -20);
  CHECK(Rows("events_default") == "2");
  REQUIRE_OK(store->KeepPartitions(kMonth, absl::Now()));
  CHECK(store->ListEvents({}, 10, "")->items.size() == 2);
}

TEST_CASE_METHOD(Fixture, "a reader that holds an old partition delays its end and nobody's writing") {
  MakePartition("events", 40);
  Insert("events", 40);
  const Ownership owner = OpenStream(*store, sensor.id);
  pqxx::connection reader(database.connection_string());
  {
    pqxx::work reading(reader);
    reading.exec("SELECT count(*) FROM events");
    const absl::Time start = absl::Now();
    CHECK_CODE(store->KeepPartitions(kMonth, absl::Now()), kUnavailable);
    CHECK(absl::Now() - start < absl::Seconds(5));
    EventBatch batch{.run_id = NewUuid(), .events = {SensorEvent{.sequence = 1}}};
    REQUIRE_OK(store->StoreEvents(owner, batch, 10));
  }
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 1);
}

TEST_CASE_METHOD(Fixture, "replicas that keep partitions at the same time do it once") {
  for (int days = 31; days < 41; ++days) MakePartition("events", days + 1);
  database.Execute("DO $$ BEGIN EXECUTE 'DROP TABLE events' || to_char(now() AT TIME ZONE 'UTC', '_YYYYMMDD'); END $$");
  Insert("events", 0, 100);
  std::vector<std::unique_ptr<Store>> stores;
  std::vector<absl::Status> results(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, at = stores.emplace_back(database.Open(2)).get(), i] {
      for (int n = 0; n < 5; ++n) results[i].Update(at->KeepPartitions(kMonth, absl::Now()).status());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CHECK_CODE(result, kOk);
  CHECK(Partitions("events") == "5");
  CHECK(Rows("events") == "100");
  CHECK(Rows("events_default") == "0");
}

TEST_CASE_METHOD(Fixture, "nobody can have what is new dropped, nor another table") {
  CHECK(database.Refusal("SELECT drop_old_records('events', now())").substr(0, 5) == "42501");
  CHECK(database.Refusal("SELECT drop_old_records('audit_log', now() - interval '1 year')").substr(0, 5) == "42501");
}

TEST_CASE("the history from before there were partitions goes when all of it is old") {
  const Database database;
  const auto store = database.Open();
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 0);
  CHECK(database.Value("SELECT to_regclass('heartbeats_unpartitioned') IS NOT NULL") == "t");
  database.Execute(
      "DO $$ BEGIN EXECUTE format('COMMENT ON TABLE heartbeats_unpartitioned IS %L', now() - interval '8 days'); END "
      "$$");
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 1);
  CHECK(database.Value("SELECT to_regclass('heartbeats_unpartitioned') IS NULL") == "t");
  CHECK(store->KeepPartitions(kMonth, absl::Now()).value() == 0);
}

}  // namespace
}  // namespace bulkhead::controlplane
