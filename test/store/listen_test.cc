// Changes are heard by every replica, also after the listening connection was lost; a lost connection is replaced
// without a word.
#include <catch2/catch.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "controlplane/store/connection_pool.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

// Collects what a listener says.
class Heard {
 public:
  void Add(const std::string& id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ids_.push_back(id);
    arrived_.notify_all();
  }
  // True when `id` is said within ten seconds; what was said before it is forgotten.
  bool WaitFor(const std::string& id) {
    std::unique_lock<std::mutex> lock(mutex_);
    return arrived_.wait_for(lock, std::chrono::seconds(10), [&] {
      while (!ids_.empty()) {
        const bool found = ids_.front() == id;
        ids_.pop_front();
        if (found) return true;
      }
      return false;
    });
  }
  bool Empty() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return ids_.empty();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::string> ids_;
};

void TerminateConnections(const Database& database) {
  database.ExecuteAsSuperuser(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bulkhead'"
      " AND datname = current_database()");
}

TEST_CASE("another replica hears of orders by the sensor's id, at commit, and never of heartbeats") {
  const Database database;
  const auto ours = database.Open();
  const auto theirs = database.Open();
  Heard heard;
  REQUIRE_OK(theirs->Listen([&](const std::string& id) { heard.Add(id); }));
  CHECK_CODE(theirs->Listen([](const std::string&) {}), kFailedPrecondition);
  const Sensor sensor = Enroll(*ours, "web-1");
  CHECK(heard.WaitFor(sensor.id));
  REQUIRE_OK(ours->RecordReport(OpenStream(*ours, sensor.id), SensorReport(), true));
  CHECK_CODE(ours->Run([&](Transaction& tx) {
    tx.BumpGeneration(sensor.id).IgnoreError();
    return absl::CancelledError("rolled back");
  }),
             kCancelled);
  REQUIRE_OK(Contain(*ours, "web-1"));
  CHECK(heard.WaitFor(sensor.id));
  CHECK(heard.Empty());
  REQUIRE_OK(Kill(*ours, "web-1", 4242));
  CHECK(heard.WaitFor(sensor.id));
  REQUIRE_OK(Give(*ours, [](Transaction& tx) { return orders::RevokeSensor(tx, By("ada"), "web-1"); }));
  CHECK(heard.WaitFor(sensor.id));
  REQUIRE_OK(ours->Run([](Transaction& tx) { return orders::DeleteSensor(tx, By("ada"), "web-1"); }));
  CHECK(heard.WaitFor(sensor.id));
}

TEST_CASE("after its connection is cut the listener reconnects, says that anything may have changed, and hears on") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  Heard heard;
  REQUIRE_OK(store->Listen([&](const std::string& id) { heard.Add(id); }));
  for (int i = 0; i < 2; ++i) {
    TerminateConnections(database);
    REQUIRE(heard.WaitFor(""));
    REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.BumpGeneration(sensor.id); }));
    CHECK(heard.WaitFor(sensor.id));
  }
}

TEST_CASE("orders go on after the pool's connections were cut") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  for (int i = 0; i < 3; ++i) {
    TerminateConnections(database);
    REQUIRE_OK(Contain(*store, "web-1"));
  }
}

TEST_CASE("a connection that is cut in the middle of an order: it is run again, and done once") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  int runs = 0;
  REQUIRE_OK(store->Run([&](Transaction& tx) {
    const absl::Status first = tx.BumpGeneration(sensor.id);
    if (++runs == 1) TerminateConnections(database);
    return first.ok() ? tx.SetDisabled(sensor.id, true) : first;
  }));
  CHECK(runs == 2);
  CHECK(Read(*store, "web-1").desired_generation == 2);
  CHECK(Read(*store, "web-1").disabled);
}

TEST_CASE("when every connection is busy the caller is told so, and served once one is free") {
  const Database database;
  ConnectionPool pool(database.connection_string(), 1, nullptr, std::chrono::milliseconds(50));
  {
    const auto lent = pool.Acquire();
    REQUIRE_OK(lent);
    CHECK_CODE(pool.Acquire(), kUnavailable);
  }
  CHECK_CODE(pool.Acquire(), kOk);
}

}  // namespace
}  // namespace bulkhead::controlplane
