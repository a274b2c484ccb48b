// Events of sensors: stored once whatever is repeated, listed, followed without a gap, and no more than fit a day.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

constexpr uint64_t kNoLimit = 1'000'000;

// Events `first` to `last` of a run.
EventBatch Batch(const std::string& run_id, uint64_t first, uint64_t last, int kind = 2) {
  EventBatch batch{.run_id = run_id, .events = {}};
  for (uint64_t i = first; i <= last; ++i) {
    batch.events.push_back(
        {.sequence = i, .kind = kind, .pid = 4242, .comm = "sh", .detail = absl::StrCat("event ", i)});
  }
  return batch;
}

struct Fixture {
  Database database;
  std::unique_ptr<Store> store = database.Open();
  Sensor sensor = Enroll(*store, "web-1");
  Ownership owner = OpenStream(*store, sensor.id);
  std::string run = NewUuid();

  EventsTaken Take(const EventBatch& batch, uint64_t limit = kNoLimit) {
    const auto taken = store->StoreEvents(owner, batch, limit);
    REQUIRE_OK(taken);
    return *taken;
  }
  // The sequences that are stored, in order.
  std::string Stored() { return database.Value("SELECT string_agg(sequence::text, ' ' ORDER BY id) FROM events"); }
};

TEST_CASE_METHOD(Fixture, "what is sent again, in part or on another stream, is stored once") {
  CHECK(Take(Batch(run, 1, 3)).stored == 3);
  CHECK(Take(Batch(run, 1, 3)).repeated == 3);
  const EventsTaken overlapping = Take(Batch(run, 2, 5));
  CHECK(overlapping.stored == 2);
  CHECK(overlapping.repeated == 2);
  CHECK(overlapping.lost == 0);
  const auto other = database.Open();
  owner = OpenStream(*other, sensor.id);
  const auto taken = other->StoreEvents(owner, Batch(run, 1, 6), kNoLimit);
  REQUIRE_OK(taken);
  CHECK(taken->stored == 1);
  CHECK(Stored() == "1 2 3 4 5 6");
}

TEST_CASE_METHOD(Fixture, "a sensor that was started again begins at 1, and that is no repetition") {
  Take(Batch(run, 1, 2));
  CHECK(Take(Batch(NewUuid(), 1, 2)).stored == 2);
  CHECK(Take(Batch(run, 1, 3)).stored == 1);
  for (int i = 0; i < 20; ++i) Take(Batch(NewUuid(), 1, 1));
  CHECK(std::stoi(database.Value("SELECT count(*) FROM event_runs")) <= 9);
}

TEST_CASE_METHOD(Fixture, "a gap is a count of lost events, at its place and in the day's sum") {
  CHECK(Take(Batch(run, 4, 5)).lost == 3);
  CHECK(Take(Batch(run, 9, 9)).lost == 3);
  CHECK(database.Value("SELECT string_agg(lost_before::text, ' ' ORDER BY id) FROM events") == "3 0 3");
  // Nobody knows what an older sensor, which does not name its runs, had sent before this stream.
  EventBatch unnamed = Batch(NewUuid(), 100, 100);
  unnamed.from_the_first = false;
  CHECK(Take(unnamed).lost == 0);
  CHECK(Take(Batch(NewUuid(), 9223372036854775807u, 9223372036854775807u)).lost == 9223372036854775806u);
  CHECK(Take(Batch(NewUuid(), 9223372036854775807u, 9223372036854775807u)).stored == 1);
  const auto counts = store->ListEventCounts(sensor.id, 10, "");
  REQUIRE_OK(counts);
  REQUIRE(counts->items.size() == 1);
  CHECK(counts->items[0].stored == 6);
  CHECK(counts->items[0].lost == 9223372036854775807u);
  CHECK(counts->items[0].sensor_name == "web-1");
}

TEST_CASE_METHOD(Fixture, "a flood is cut at the day's limit and counted, and leaves room for other kinds") {
  CHECK(Take(Batch(run, 1, 8), 10).stored == 8);
  const EventsTaken cut = Take(Batch(run, 9, 20), 10);
  CHECK(cut.stored == 2);
  CHECK(cut.refused == 10);
  CHECK(Take(Batch(run, 21, 22, /*kind=*/9), 10).stored == 2);
  // Kinds that nobody knows share one limit, or a hostile sensor would have as many as there are numbers.
  EventBatch unknown = Batch(run, 23, 34);
  for (size_t i = 0; i < unknown.events.size(); ++i) unknown.events[i].kind = static_cast<int>(1000 + i);
  CHECK(Take(unknown, 10).stored == 10);
  // Taken all the same: it is not sent again.
  CHECK(Take(Batch(run, 9, 20), 10).repeated == 12);
  const auto counts = store->ListEventCounts("", 10, "");
  REQUIRE_OK(counts);
  REQUIRE(counts->items.size() == 1);
  CHECK(counts->items[0].refused == 12);
  CHECK(counts->items[0].stored == 22);
  CHECK(counts->items[0].lost == 0);
}

TEST_CASE_METHOD(Fixture, "a batch out of order or out of range is refused, and nothing of it stored") {
  EventBatch batch = Batch(run, 1, 3);
  std::swap(batch.events[0], batch.events[1]);
  CHECK_CODE(store->StoreEvents(owner, batch, kNoLimit), kInvalidArgument);
  CHECK_CODE(store->StoreEvents(owner, Batch(run, 0, 1), kNoLimit), kInvalidArgument);
  CHECK_CODE(store->StoreEvents(owner, Batch(run, 1, 257), kNoLimit), kInvalidArgument);
  CHECK_CODE(store->StoreEvents(owner, EventBatch{.run_id = run, .events = {}}, kNoLimit), kInvalidArgument);
  CHECK_CODE(store->StoreEvents(owner, Batch(run, 1ull << 63, 1ull << 63), kNoLimit), kInvalidArgument);
  CHECK(Stored().empty());
}

TEST_CASE_METHOD(Fixture, "a stream that lost its sensor stores no event; a revoked sensor none at all") {
  const Ownership newer = OpenStream(*store, sensor.id);
  CHECK(IsStreamSuperseded(store->StoreEvents(owner, Batch(run, 1, 1), kNoLimit).status()));
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("ada"), "web-1"); }));
  CHECK_CODE(store->StoreEvents(newer, Batch(run, 1, 1), kNoLimit), kUnauthenticated);
  CHECK(Stored().empty());
}

TEST_CASE_METHOD(Fixture, "two streams that send the same at the same time store it once") {
  const auto other = database.Open();
  std::vector<std::thread> threads;
  for (Store* const at : {store.get(), other.get()}) {
    threads.emplace_back([&, at] {
      for (uint64_t i = 1; i <= 40; ++i) at->StoreEvents(owner, Batch(run, i, i + 3), kNoLimit).IgnoreError();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(database.Value("SELECT count(*) || ' ' || count(DISTINCT sequence) FROM events") == "43 43");
  CHECK(database.Value("SELECT coalesce(sum(lost), 0) FROM event_days") == "0");
  CHECK(database.Value("SELECT sum(stored) FROM event_days") == "43");
}

TEST_CASE_METHOD(Fixture,
                 "events come back as they were said, hostile text and all, newest first, by filter and page") {
  EventBatch batch = Batch(run, 1, 5);
  const std::string nasty = "a,\"b\"\\{c} NULL '; DROP TABLE events; --\n";
  batch.events[4] = {.sequence = 5,
                     .time = absl::FromUnixMicros(1790000000123456),
                     .kind = 1,
                     .policy_id = "123e4567-e89b-42d3-a456-426614174000",
                     .pid = 4294967295u,
                     .comm = nasty,
                     .detail = std::string("nul\0inside", 10),
                     .uid = 4294967295u,
                     .parent_pid = 1,
                     .parent_comm = "NULL",
                     .cgroup = "/a b/\xc3\xa9",
                     .container = ""};
  Take(batch);
  const auto newest = store->ListEvents({}, 2, "");
  REQUIRE_OK(newest);
  REQUIRE(newest->items.size() == 2);
  const StoredEvent& last = newest->items[0];
  CHECK(last.sensor_name == "web-1");
  CHECK(last.sensor_id == sensor.id);
  CHECK(last.event.time == batch.events[4].time);
  CHECK(last.event.comm == nasty);
  CHECK(last.event.detail == "nulinside");
  CHECK(last.event.pid == 4294967295u);
  CHECK(last.event.parent_comm == "NULL");
  CHECK(last.event.cgroup == "/a b/\xc3\xa9");
  CHECK_FALSE(newest->items[1].event.time.has_value());
  const auto rest = store->ListEvents({}, 100, newest->next_page_token);
  REQUIRE_OK(rest);
  CHECK(rest->items.size() == 3);
  CHECK(rest->next_page_token.empty());
  CHECK_CODE(store->ListEvents({.kind = 1}, 2, newest->next_page_token), kInvalidArgument);
  const auto count = [&](const EventFilter& filter) { return store->ListEvents(filter, 100, "")->items.size(); };
  CHECK(count({.kind = 1}) == 1);
  CHECK(count({.policy_id = "123e4567-e89b-42d3-a456-426614174000"}) == 1);
  CHECK(count({.sensor_id = NewUuid()}) == 0);
  CHECK(count({.sensor_id = sensor.id, .kind = 2}) == 4);
  CHECK(count({.since = absl::Now() - absl::Hours(1)}) == 5);
  CHECK(count({.since = absl::Now() + absl::Hours(1)}) == 0);
  CHECK(count({.until = absl::Now() - absl::Hours(1)}) == 0);
}

TEST_CASE_METHOD(Fixture, "an event outlives its sensor's record") {
  Take(Batch(run, 1, 1));
  REQUIRE_OK(store->Run([](Transaction& tx) { return orders::DeleteSensor(tx, By("ada"), "web-1"); }));
  const auto events = store->ListEvents({.sensor_id = sensor.id}, 10, "");
  REQUIRE_OK(events);
  REQUIRE(events->items.size() == 1);
  CHECK(events->items[0].sensor_name.empty());
  CHECK(database.Value("SELECT count(*) FROM event_runs") == "0");
}

TEST_CASE_METHOD(Fixture, "whoever follows sees each event once, in parts of any size, and only those of the filter") {
  EventCursor cursor = *store->EndOfEvents();
  Take(Batch(run, 1, 7));
  std::string seen;
  for (int i = 0; i < 6; ++i) {
    const auto events = store->FollowEvents({}, 3, &cursor);
    REQUIRE_OK(events);
    for (const StoredEvent& event : *events) absl::StrAppend(&seen, event.event.sequence, " ");
    if (i == 3) Take(Batch(run, 8, 9, /*kind=*/1));
  }
  CHECK(seen == "1 2 3 4 5 6 7 8 9 ");
  EventCursor from_the_first;
  CHECK(store->FollowEvents({.kind = 1}, 100, &from_the_first)->size() == 2);
  CHECK(store->FollowEvents({.kind = 1}, 100, &from_the_first)->empty());
  EventCursor since;
  CHECK(store->FollowEvents({.since = absl::Now() + absl::Hours(1)}, 100, &since)->empty());
  EventCursor elsewhere{.transaction = uint64_t{1} << 50};
  CHECK_CODE(store->FollowEvents({}, 100, &elsewhere), kInvalidArgument);
}

TEST_CASE_METHOD(Fixture, "an event that commits after a later one is not passed over") {
  EventCursor cursor = *store->EndOfEvents();
  pqxx::connection slow(database.connection_string());
  pqxx::work work(slow);
  work.exec(
      absl::StrCat("INSERT INTO events (sensor_id, run_id, sequence, lost_before, kind, policy_id, pid, comm, detail,"
                   " uid, parent_pid, parent_comm, cgroup, container) VALUES ('",
                   sensor.id, "', '", NewUuid(), "', 100, 0, 2, '', 0, '', 'slow', 0, 0, '', '', '')"));
  Take(Batch(run, 1, 1));
  // The later one has a higher number and is there; it waits for the one before.
  CHECK(store->FollowEvents({}, 100, &cursor)->empty());
  work.commit();
  const auto events = store->FollowEvents({}, 100, &cursor);
  REQUIRE_OK(events);
  REQUIRE(events->size() == 2);
  CHECK(events->at(0).event.detail == "slow");
  CHECK(events->at(1).event.sequence == 1);
}

}  // namespace
}  // namespace bulkhead::controlplane
