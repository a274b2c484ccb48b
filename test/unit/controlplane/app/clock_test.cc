// Time that no wall clock moves: the database's, and waits by the monotonic clock.
#include "absl/time/clock.h"

#include <catch2/catch.hpp>
#include <thread>

#include "common/pause.h"
#include "controlplane/app/database_clock.h"

namespace bulkhead::controlplane {
namespace {

TEST_CASE("until the database was asked it is this machine's time, then the database's, which goes on") {
  DatabaseClock clock;
  CHECK(absl::AbsDuration(clock.Now() - absl::Now()) < absl::Minutes(1));
  const absl::Time said = absl::Now() + absl::Hours(5);
  clock.Set(said);
  CHECK(clock.Now() >= said);
  CHECK(clock.Now() < said + absl::Minutes(1));
  const absl::Time before = clock.Now();
  absl::SleepFor(absl::Milliseconds(20));
  CHECK(clock.Now() - before >= absl::Milliseconds(20));
  clock.Set(said - absl::Hours(9));
  CHECK(clock.Now() < said);
}

TEST_CASE("a pause lasts its time, ends when it is woken, also before, and for good when it is stopped") {
  Pause pause;
  absl::Time begin = absl::Now();
  CHECK(pause.For(absl::Milliseconds(30)));
  CHECK(absl::Now() - begin >= absl::Milliseconds(30));
  pause.Wake();
  begin = absl::Now();
  CHECK(pause.For(absl::Hours(1)));
  std::thread waker([&] { pause.Wake(); });
  CHECK(pause.For(absl::Hours(1)));
  waker.join();
  std::thread stopper([&] { pause.Stop(); });
  CHECK_FALSE(pause.For(absl::Hours(1)));
  stopper.join();
  CHECK_FALSE(pause.For(absl::Hours(1)));
  CHECK(absl::Now() - begin < absl::Minutes(1));
}

}  // namespace
}  // namespace bulkhead::controlplane
