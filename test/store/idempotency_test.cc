// Orders that are repeated with a request id, one after the other and at the same moment.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

TEST_CASE("a repeated request gets the first answer and changes nothing") {
  const Database database;
  const auto store = database.Open();
  int runs = 0;
  const auto order = [&](Transaction&) -> absl::StatusOr<std::string> { return absl::StrCat("answer ", ++runs); };
  CHECK(store->RunOrder(By("olga", "r1"), "print", order).value() == "answer 1");
  CHECK(store->RunOrder(By("olga", "r1"), "print", order).value() == "answer 1");
  CHECK(store->RunOrder(By("petra", "r1"), "print", order).value() == "answer 2");
  CHECK(store->RunOrder(By("olga", ""), "print", order).value() == "answer 3");
  CHECK(store->RunOrder(By("olga", ""), "print", order).value() == "answer 4");
}

TEST_CASE("a request id that was used for another request is refused") {
  const Database database;
  const auto store = database.Open();
  const auto order = [](Transaction&) -> absl::StatusOr<std::string> { return "done"; };
  REQUIRE_OK(store->RunOrder(By("olga", "r1"), "contain web-1", order));
  const absl::Status reused = store->RunOrder(By("olga", "r1"), "contain web-2", order).status();
  CHECK_CODE(reused, kAlreadyExists);
  CHECK(ReasonOf(reused) == "REQUEST_ID_REUSED");
}

TEST_CASE("a request that failed may be repeated under its id") {
  const Database database;
  const auto store = database.Open();
  CHECK_CODE(store->RunOrder(By("olga", "r1"), "print",
                             [](Transaction&) -> absl::StatusOr<std::string> { return absl::NotFoundError("no"); }),
             kNotFound);
  CHECK(store->RunOrder(By("olga", "r1"), "print", [](Transaction&) -> absl::StatusOr<std::string> { return "yes"; })
            .value() == "yes");
}

TEST_CASE("the same request at the same moment is carried out once, and all get its answer") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  std::vector<absl::StatusOr<std::string>> answers(8, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (auto& answer : answers) {
    threads.emplace_back([&] {
      answer = store->RunOrder(By("olga", "r1"), "kill 4242", [](Transaction& tx) -> absl::StatusOr<std::string> {
        ProcessIdentity process;
        process.pid = 4242;
        auto command = orders::KillProcess(tx, By("olga", "r1"), "web-1", process, absl::Minutes(1), absl::Now());
        if (!command.ok()) return command.status();
        return command->id;
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& answer : answers) {
    REQUIRE_OK(answer);
    CHECK(*answer == *answers[0]);
  }
  CHECK(database.Value("SELECT count(*) FROM commands") == "1");
  CHECK(database.Value("SELECT count(*) FROM audit_log WHERE action = 'process_kill_ordered'") == "1");
}

TEST_CASE("answers with any bytes come back as they were") {
  const Database database;
  const auto store = database.Open();
  const std::string bytes("\0\xff\n'\\x", 6);
  const auto order = [&](Transaction&) -> absl::StatusOr<std::string> { return bytes; };
  REQUIRE_OK(store->RunOrder(By("olga", "r1"), "print", order));
  CHECK(store->RunOrder(By("olga", "r1"), "print", order).value() == bytes);
  const auto empty = [](Transaction&) -> absl::StatusOr<std::string> { return ""; };
  REQUIRE_OK(store->RunOrder(By("olga", "r2"), "print", empty));
  CHECK(store->RunOrder(By("olga", "r2"), "print", empty).value().empty());
}

TEST_CASE("generations grow by one with every order, however many come at once") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  constexpr int kThreads = 4;
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) {
        if (!store->Run([&](Transaction& tx) { return tx.BumpGeneration(sensor.id); }).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(Read(*store, "web-1").desired_generation == 1 + kThreads * kEach);
}

TEST_CASE("a transaction that lost a deadlock is run again") {
  const Database database;
  const auto store = database.Open();
  const Sensor one = Enroll(*store, "one");
  const Sensor two = Enroll(*store, "two");
  std::atomic<int> first_attempts{0};
  std::atomic<int> runs{0};
  const auto lock_both = [&](const std::string& first, const std::string& second) {
    bool fresh = true;
    return store->Run([&](Transaction& tx) {
      ++runs;
      const absl::Status locked = tx.GetSensor(first, true).status();
      if (!locked.ok()) return locked;
      // Only the first attempts wait for each other, so that the deadlock is certain and happens once.
      if (fresh && first_attempts < 2) {
        fresh = false;
        ++first_attempts;
        for (int i = 0; i < 500 && first_attempts < 2; ++i) absl::SleepFor(absl::Milliseconds(10));
      }
      return tx.GetSensor(second, true).status();
    });
  };
  absl::Status status;
  std::thread other([&] { status = lock_both("two", "one"); });
  REQUIRE_OK(lock_both("one", "two"));
  other.join();
  REQUIRE_OK(status);
  CHECK(runs == 3);
}

}  // namespace
}  // namespace bulkhead::controlplane
