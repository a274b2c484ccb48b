// Who owns a sensor: leases of replicas, epochs of streams, and that nothing is written by a stream that lost its
// sensor.
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

constexpr char kRunA[] = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
constexpr char kRunB[] = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

// One sensor and two replicas that live.
struct Fixture {
  Database database;
  std::unique_ptr<Store> store = database.Open();
  Sensor sensor = Enroll(*store, "web-1");

  Fixture() {
    REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Minutes(1)));
    REQUIRE_OK(store->RenewReplica(kRunB, "b", absl::Minutes(1)));
  }
  bool Connected() { return Read(*store, "web-1").connected; }
  // What the stream's writes are answered; the same for all of them.
  std::vector<absl::Status> WriteEverything(const Ownership& owner, const std::string& command_id) {
    return {store->RecordReport(owner, SensorReport(), true).status(), store->RecordPolicyStatus(owner, 1, true, ""),
            store->RecordPolicyStatus(owner, 1, false, "no"), store->Run([&](Transaction& tx) -> absl::Status {
              const auto ordered = tx.CheckOwnership(owner, /*hold=*/true);
              if (!ordered.ok()) return ordered.status();
              const absl::Status marked = tx.MarkDelivered({command_id});
              return marked.ok() ? tx.FinishCommand(owner.sensor_id, command_id, {CommandOutcome::kGone, "", "done"})
                                 : marked;
            })};
  }
};

TEST_CASE_METHOD(Fixture, "the newest stream owns the sensor; an older one that closes changes nothing") {
  CHECK_FALSE(Connected());
  const Ownership first = *store->OpenSession(sensor.id, kRunA);
  const Ownership second = *store->OpenSession(sensor.id, kRunB);
  CHECK(second.epoch > first.epoch);
  REQUIRE_OK(store->CloseSession(first));
  CHECK(Connected());
  REQUIRE_OK(store->CloseSession(second));
  CHECK_FALSE(Connected());
  CHECK_CODE(store->OpenSession("123e4567-e89b-42d3-a456-426614174000", kRunA), kNotFound);
}

TEST_CASE_METHOD(Fixture, "a stream that lost its sensor writes nothing, whatever it says") {
  const Command command = *Kill(*store, "web-1", 4242);
  const Ownership older = *store->OpenSession(sensor.id, kRunA);
  const Ownership newer = *store->OpenSession(sensor.id, kRunB);
  const std::string rows =
      "SELECT (SELECT row(r.*)::text FROM sensor_reports r) || (SELECT row(c.*)::text FROM commands "
      "c) || (SELECT count(*) FROM heartbeats)";
  const std::string before = database.Value(rows);
  for (const absl::Status& status : WriteEverything(older, command.id)) {
    CHECK(IsStreamSuperseded(status));
    CHECK_CODE(status, kAborted);
  }
  CHECK(database.Value(rows) == before);
  for (const absl::Status& status : WriteEverything(newer, command.id)) REQUIRE_OK(status);
  CHECK(database.Value("SELECT state FROM commands") == "succeeded");
}

TEST_CASE_METHOD(Fixture, "a stream cannot take over in the middle of another's write") {
  const Ownership older = *store->OpenSession(sensor.id, kRunA);
  std::atomic<bool> taken = false;
  std::thread taker;
  bool taken_inside = false;
  REQUIRE_OK(store->Run([&](Transaction& tx) -> absl::Status {
    const absl::Status held = tx.CheckOwnership(older, /*hold=*/true).status();
    taker = std::thread([&] {
      store->OpenSession(sensor.id, kRunB).status().IgnoreError();
      taken = true;
    });
    absl::SleepFor(absl::Milliseconds(200));
    taken_inside = taken;
    return held;
  }));
  taker.join();
  CHECK_FALSE(taken_inside);
  CHECK(taken);
  CHECK(IsStreamSuperseded(store->RecordReport(older, SensorReport(), true).status()));
}

TEST_CASE_METHOD(Fixture, "epochs of streams that open at the same moment are all different") {
  std::vector<absl::StatusOr<Ownership>> owners(16, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < owners.size(); ++i) {
    threads.emplace_back([&, i] { owners[i] = store->OpenSession(sensor.id, i % 2 == 0 ? kRunA : kRunB); });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<int64_t> epochs;
  for (const auto& owner : owners) {
    REQUIRE_OK(owner);
    epochs.insert(owner->epoch);
  }
  CHECK(epochs.size() == owners.size());
  int writers = 0;
  for (const auto& owner : owners) writers += store->RecordReport(*owner, SensorReport(), true).ok() ? 1 : 0;
  CHECK(writers == 1);
}

TEST_CASE_METHOD(Fixture, "a replica that died: its sensors are disconnected when its lease ends, others are not") {
  const Sensor other = Enroll(*store, "web-2");
  REQUIRE_OK(store->OpenSession(sensor.id, kRunA));
  REQUIRE_OK(store->OpenSession(other.id, kRunB));
  REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Milliseconds(300)));
  CHECK(Connected());
  absl::SleepFor(absl::Milliseconds(400));
  CHECK_FALSE(Connected());
  CHECK(Read(*store, "web-2").connected);
  // It had only stood still: its streams are as good as before.
  REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Minutes(1)));
  CHECK(Connected());
  // One that ends in good order does not wait for its lease.
  REQUIRE_OK(store->EndReplica(kRunA));
  CHECK_FALSE(Connected());
}

TEST_CASE_METHOD(Fixture, "a replica that is started again under its name ends the run before, and only that") {
  const Sensor other = Enroll(*store, "web-2");
  REQUIRE_OK(store->OpenSession(sensor.id, kRunA));
  REQUIRE_OK(store->OpenSession(other.id, kRunB));
  REQUIRE_OK(store->RenewReplica(NewUuid(), "a", absl::Minutes(1)));
  CHECK_FALSE(Connected());
  CHECK(Read(*store, "web-2").connected);
  // Two that live under one name by mistake: each comes back and stays.
  REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Minutes(1)));
  const std::string live = "SELECT count(*) FROM replicas WHERE lease_until > now()";
  REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Minutes(1)));
  CHECK(database.Value(live) == "2");
  database.Execute("UPDATE replicas SET lease_until = now() - interval '2 hours' WHERE name = 'b'");
  REQUIRE_OK(store->RenewReplica(kRunA, "a", absl::Minutes(1)));
  CHECK(database.Value("SELECT count(*) FROM replicas WHERE name = 'b'") == "0");
}

TEST_CASE_METHOD(Fixture, "a takeover is told to the replica that had the sensor, and nothing else is told") {
  const auto listener = database.Open();
  std::atomic<int> heard = 0;
  REQUIRE_OK(listener->Listen([&](const std::string& id) { heard += id == sensor.id ? 1 : 100; }));
  const auto settles_at = [&](int wanted) {
    for (int i = 0; i < 100 && heard < wanted; ++i) absl::SleepFor(absl::Milliseconds(20));
    absl::SleepFor(absl::Milliseconds(100));
    return heard == wanted;
  };
  REQUIRE_OK(store->OpenSession(sensor.id, kRunA));
  REQUIRE_OK(store->OpenSession(sensor.id, kRunA));
  CHECK(settles_at(0));
  REQUIRE_OK(store->OpenSession(sensor.id, kRunB));
  CHECK(settles_at(1));
  REQUIRE_OK(store->EndReplica(kRunB));
  REQUIRE_OK(store->OpenSession(sensor.id, kRunA));
  CHECK(settles_at(1));
}

TEST_CASE_METHOD(Fixture, "a replica lists just the streams that it owns, with what is ordered") {
  const Sensor other = Enroll(*store, "web-2");
  const Ownership ours = *store->OpenSession(sensor.id, kRunA);
  REQUIRE_OK(store->OpenSession(other.id, kRunB));
  const auto list = [&] {
    auto held = store->ListHeldStreams(kRunA);
    REQUIRE_OK(held);
    return *held;
  };
  REQUIRE(list().size() == 1);
  CHECK(list()[0].owner.sensor_id == sensor.id);
  CHECK(list()[0].owner.epoch == ours.epoch);
  CHECK(list()[0].generation == 1);
  CHECK_FALSE(list()[0].queued_commands);
  REQUIRE_OK(Contain(*store, "web-1"));
  const Command command = *Kill(*store, "web-1", 7);
  CHECK(list()[0].generation == 2);
  CHECK(list()[0].queued_commands);
  REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.MarkDelivered({command.id}); }));
  CHECK_FALSE(list()[0].queued_commands);
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("ada"), "web-1"); }));
  CHECK(list()[0].trust == Trust::kRevoked);
  REQUIRE_OK(store->OpenSession(sensor.id, kRunB));
  CHECK(list().empty());
}

}  // namespace
}  // namespace bulkhead::controlplane
