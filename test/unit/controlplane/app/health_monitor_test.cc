// Readiness: each condition alone takes it away, and whoever is to be told is told in time.
#include "controlplane/app/health_monitor.h"

#include <catch2/catch.hpp>
#include <vector>

#include "absl/time/clock.h"

namespace bulkhead::controlplane {
namespace {

struct Verdicts {
  absl::Mutex mutex;
  std::vector<bool> told;

  std::vector<bool> Told() {
    absl::MutexLock lock(&mutex);
    return told;
  }
  bool WaitFor(const std::vector<bool>& wanted) {
    const auto have = [&] { return told == wanted; };
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&have), absl::Seconds(10));
  }
  std::function<void(bool)> Take() {
    return [this](bool ready) {
      absl::MutexLock lock(&mutex);
      told.push_back(ready);
    };
  }
};

TEST_CASE("not ready before it listens, nor before the database answered") {
  Verdicts verdicts;
  HealthMonitor monitor(verdicts.Take());
  CHECK_FALSE(monitor.Look().first);
  CHECK_THAT(monitor.Look().second, Catch::Contains("listening: not yet"));
  monitor.Start();
  CHECK_FALSE(monitor.Look().first);
  CHECK(verdicts.Told() == std::vector<bool>{false});
  monitor.DatabaseAnswered(absl::OkStatus());
  CHECK(monitor.Look() == std::pair<bool, std::string>(true, "ready\ndatabase: ok\nlistening: ok\nshutdown: ok\n"));
  CHECK(verdicts.WaitFor({false, true}));
}

TEST_CASE("a database that refuses, and one that lacks migrations, are told apart, without its words") {
  Verdicts verdicts;
  HealthMonitor monitor(verdicts.Take());
  monitor.DatabaseAnswered(absl::OkStatus());
  monitor.Start();
  monitor.DatabaseAnswered(absl::UnavailableError("connect to db.internal.example as bulkhead"));
  CHECK_FALSE(monitor.Look().first);
  CHECK_THAT(monitor.Look().second,
             Catch::Contains("database: does not answer") && !Catch::Contains("db.internal.example"));
  monitor.DatabaseAnswered(absl::FailedPreconditionError("the database has 3 of 13"));
  CHECK_THAT(monitor.Look().second, Catch::Contains("lacks migrations"));
  CHECK(verdicts.WaitFor({true, false}));
}

TEST_CASE("a database that says nothing any more is noticed, though whoever asks it hangs") {
  Verdicts verdicts;
  HealthMonitor monitor(verdicts.Take(), std::chrono::seconds(2));
  monitor.DatabaseAnswered(absl::OkStatus());
  monitor.Start();
  CHECK(verdicts.WaitFor({true, false}));
  CHECK_THAT(monitor.Look().second, Catch::Contains("database: silent for"));
  monitor.DatabaseAnswered(absl::OkStatus());
  CHECK(verdicts.WaitFor({true, false, true, false}));
}

TEST_CASE("after Stop it is not ready, whatever the database says, and that was told before Stop returned") {
  Verdicts verdicts;
  HealthMonitor monitor(verdicts.Take());
  monitor.DatabaseAnswered(absl::OkStatus());
  monitor.Start();
  monitor.Stop();
  CHECK(verdicts.Told() == std::vector<bool>{true, false});
  monitor.DatabaseAnswered(absl::OkStatus());
  CHECK_FALSE(monitor.Look().first);
  CHECK_THAT(monitor.Look().second, Catch::Contains("shutdown: in progress"));
  monitor.Stop();
}

}  // namespace
}  // namespace bulkhead::controlplane
