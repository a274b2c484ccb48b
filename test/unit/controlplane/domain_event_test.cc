// Which of a sensor's events are stored.
#include <catch2/catch.hpp>

#include "controlplane/domain/event.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

EventBatch Batch(const std::vector<uint64_t>& sequences, int kind = 1) {
  EventBatch batch{.run_id = "run", .events = {}};
  for (const uint64_t sequence : sequences) batch.events.push_back({.sequence = sequence, .kind = kind});
  return batch;
}

TEST_CASE("what is new is admitted with what was lost before it") {
  const EventBatch batch = Batch({3, 4, 8});
  const EventAdmission all = AdmitEvents(batch, 0, {}, 100);
  REQUIRE(all.admitted.size() == 3);
  CHECK(all.admitted[0].lost_before == 2);
  CHECK(all.admitted[1].lost_before == 0);
  CHECK(all.admitted[2].lost_before == 3);
  CHECK(all.taken.lost == 5);
  const EventAdmission last = AdmitEvents(batch, 4, {}, 100);
  REQUIRE(last.admitted.size() == 1);
  CHECK(last.admitted[0].event->sequence == 8);
  CHECK(last.taken.repeated == 2);
  CHECK(last.taken.lost == 3);
  CHECK(AdmitEvents(batch, 8, {}, 100).admitted.empty());
}

TEST_CASE("of a run that is not named only gaps inside are known") {
  EventBatch batch = Batch({50, 52});
  batch.from_the_first = false;
  CHECK(AdmitEvents(batch, 0, {}, 100).taken.lost == 1);
  CHECK(AdmitEvents(batch, 40, {}, 100).taken.lost == 10);
}

TEST_CASE("the limit holds for a kind and a day, and a refused event is taken") {
  const EventAdmission cut = AdmitEvents(Batch({1, 2, 3}), 0, {{1, 98}, {2, 500}}, 100);
  CHECK(cut.taken.stored == 2);
  CHECK(cut.taken.refused == 1);
  CHECK(cut.by_bucket.at(1).stored == 2);
  CHECK(AdmitEvents(Batch({1}, 4), 0, {{1, 100}}, 100).taken.stored == 1);
  CHECK(AdmitEvents(Batch({1}, 77), 0, {{0, 100}}, 100).taken.refused == 1);
  // A limit that was lowered below what is stored.
  CHECK(AdmitEvents(Batch({1}), 0, {{1, 100}}, 10).taken.refused == 1);
}

TEST_CASE("a text is cut between characters") {
  CHECK(CutEventText("short") == "short");
  CHECK(CutEventText(std::string(1024, 'x')).size() == 1024);
  CHECK(CutEventText(std::string(1023, 'x') + "\xc3\xa9") == std::string(1023, 'x'));
  CHECK(CutEventText(std::string(1022, 'x') + "\xc3\xa9\xc3\xa9").size() == 1024);
}

TEST_CASE("a filter's key is that of no other filter") {
  CHECK(EventFilter{.sensor_id = "a"}.Key() != EventFilter{.policy_id = "a"}.Key());
  CHECK(EventFilter{.since = absl::UnixEpoch()}.Key() != EventFilter{.until = absl::UnixEpoch()}.Key());
  CHECK(EventFilter{.since = absl::UnixEpoch()}.Key() != EventFilter{}.Key());
  CHECK(EventFilter{.kind = 1}.Key() == EventFilter{.kind = 1}.Key());
}

}  // namespace
}  // namespace bulkhead::controlplane
