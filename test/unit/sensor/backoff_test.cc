// Backoff: growth, cap, full jitter, and what resets it.
#include "sensor/domain/backoff.h"

#include <catch2/catch.hpp>

namespace bulkhead::sensor {
namespace {

double AlmostOne() {
  return 0.999999;
}

TEST_CASE("failures double the limit of the wait up to the cap") {
  Backoff backoff(AlmostOne);
  const int expected_seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
  for (const int seconds : expected_seconds) {
    const absl::Duration wait = backoff.AfterFailure();
    CHECK(wait < absl::Seconds(seconds));
    CHECK(wait > absl::Seconds(seconds) * 0.99);
  }
}

TEST_CASE("the wait is spread over the whole range") {
  Backoff lucky([] { return 0.0; });
  for (int i = 0; i < 10; ++i) CHECK(lucky.AfterFailure() == absl::ZeroDuration());
}

TEST_CASE("a session that dies early does not reset the growth") {
  Backoff backoff(AlmostOne);
  for (int i = 0; i < 5; ++i) backoff.AfterSession(absl::Seconds(59));
  CHECK(backoff.AfterFailure() > absl::Seconds(31));
}

TEST_CASE("a session that lived a minute resets the growth and waits a little, spread") {
  Backoff backoff(AlmostOne);
  for (int i = 0; i < 5; ++i) backoff.AfterFailure();
  const absl::Duration wait = backoff.AfterSession(absl::Seconds(61));
  CHECK(wait < Backoff::kSpread);
  CHECK(wait > Backoff::kSpread * 0.99);
  CHECK(backoff.AfterFailure() < absl::Seconds(1));
}

TEST_CASE("a refused identity is retried slowly, never below a minute") {
  Backoff lucky([] { return 0.0; });
  CHECK(lucky.AfterRefusal() == absl::Seconds(60));
  Backoff unlucky(AlmostOne);
  CHECK(unlucky.AfterRefusal() < absl::Seconds(75));
}

}  // namespace
}  // namespace bulkhead::sensor
