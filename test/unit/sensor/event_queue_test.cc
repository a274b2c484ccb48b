// The queue of events is bounded, ordered, and counts what it drops.
#include "sensor/domain/event_queue.h"

#include <catch2/catch.hpp>

namespace bulkhead::sensor {
namespace {

Event Named(const std::string& detail) {
  Event event;
  event.detail = detail;
  return event;
}

TEST_CASE("events are taken once, in order, in bounded batches") {
  EventQueue queue(10);
  for (const char* name : {"a", "b", "c"}) queue.Push(Named(name));
  const auto first = queue.TakeUnsent(2);
  REQUIRE(first.size() == 2);
  CHECK(first[0].sequence == 1);
  CHECK(first[1].event.detail == "b");
  const auto second = queue.TakeUnsent(2);
  REQUIRE(second.size() == 1);
  CHECK(second[0].sequence == 3);
  CHECK(queue.TakeUnsent(2).empty());
}

TEST_CASE("what was not acknowledged is sent again after a lost stream") {
  EventQueue queue(10);
  for (const char* name : {"a", "b", "c"}) queue.Push(Named(name));
  queue.TakeUnsent(3);
  queue.Acknowledge(1);
  queue.Rewind();
  const auto again = queue.TakeUnsent(3);
  REQUIRE(again.size() == 2);
  CHECK(again[0].sequence == 2);
}

TEST_CASE("a full queue drops the oldest, counts it, and leaves a gap in the numbers") {
  EventQueue queue(2);
  for (const char* name : {"a", "b", "c", "d"}) queue.Push(Named(name));
  CHECK(queue.size() == 2);
  CHECK(queue.dropped() == 2);
  CHECK(queue.TakeUnsent(5)[0].sequence == 3);
}

}  // namespace
}  // namespace bulkhead::sensor
