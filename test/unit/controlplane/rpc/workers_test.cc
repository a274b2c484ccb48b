// The worker pool and the strand on top of it.
#include <atomic>
#include <catch2/catch.hpp>

#include "absl/synchronization/notification.h"
#include "controlplane/rpc/strand.h"
#include "controlplane/rpc/worker_pool.h"

namespace bulkhead::controlplane {
namespace {

TEST_CASE("a full pool refuses, a stopped one runs what it had and refuses") {
  WorkerPool pool(/*threads=*/1, /*capacity=*/2);
  absl::Notification started, go;
  std::atomic<int> ran = 0;
  REQUIRE(pool.Post([&] {
    started.Notify();
    go.WaitForNotification();
    ++ran;
  }));
  started.WaitForNotification();
  CHECK(pool.Post([&] { ++ran; }));
  CHECK(pool.Post([&] { ++ran; }));
  CHECK_FALSE(pool.Post([&] { ran += 100; }));
  go.Notify();
  pool.Stop();
  CHECK(ran == 3);
  CHECK_FALSE(pool.Post([&] { ran += 100; }));
  pool.Stop();
  CHECK(ran == 3);
}

TEST_CASE("a strand never runs twice at once, and runs once more after a wake during a run") {
  WorkerPool pool(/*threads=*/4, /*capacity=*/100);
  Strand strand(&pool);
  absl::Notification started, go, again;
  std::atomic<int> runs = 0;
  std::atomic<int> inside = 0;
  const auto step = [&] {
    CHECK(inside.fetch_add(1) == 0);
    const int run = ++runs;
    if (run == 1) {
      started.Notify();
      go.WaitForNotification();
    }
    inside.fetch_sub(1);
    if (run == 2) again.Notify();
  };
  REQUIRE(strand.Wake(step));
  started.WaitForNotification();
  for (int i = 0; i < 10; ++i) CHECK(strand.Wake(step));
  go.Notify();
  again.WaitForNotification();
  pool.Stop();
  CHECK(runs == 2);
}

TEST_CASE("a strand says when the pool has no room") {
  WorkerPool pool(/*threads=*/1, /*capacity=*/0);
  Strand strand(&pool);
  CHECK_FALSE(strand.Wake([] { FAIL("must not run"); }));
}

}  // namespace
}  // namespace bulkhead::controlplane
