// Groups of processes that are killed: who descends from whom, and what the result says.
#include <catch2/catch.hpp>

#include "sensor/domain/kill_summary.h"
#include "sensor/domain/process_tree.h"

namespace bulkhead::sensor {
namespace {

std::set<uint32_t> Pids(const std::vector<ProcessKey>& keys) {
  std::set<uint32_t> pids;
  for (const ProcessKey& key : keys) pids.insert(key.pid);
  return pids;
}

TEST_CASE("descendants are found however deep, and nobody else") {
  const std::vector<ProcessEntry> table = {{{1, 1}, 0},   {{10, 5}, 1}, {{11, 6}, 10}, {{12, 7}, 11},
                                           {{13, 7}, 12}, {{20, 8}, 1}, {{21, 9}, 20}, {{2, 1}, 0}};
  CHECK(Pids(DescendantsOf(table, {{10, 5}})) == std::set<uint32_t>{11, 12, 13});
  CHECK(Pids(DescendantsOf(table, {{10, 5}, {20, 8}})) == std::set<uint32_t>{11, 12, 13, 21});
  CHECK(DescendantsOf(table, {{13, 7}}).empty());
  CHECK(DescendantsOf({}, {{10, 5}}).empty());
  CHECK(DescendantsOf(table, {}).empty());
}

TEST_CASE("a member that has ended still has its children") {
  CHECK(Pids(DescendantsOf({{{11, 6}, 10}}, {{10, 5}})) == std::set<uint32_t>{11});
}

TEST_CASE("who is older than its supposed parent is the child of another process with that number") {
  CHECK(DescendantsOf({{{11, 4}, 10}}, {{10, 5}}).empty());
  CHECK(Pids(DescendantsOf({{{11, 5}, 10}}, {{10, 5}})) == std::set<uint32_t>{11});
}

TEST_CASE("a table that says that two processes are each other's parents ends the search") {
  CHECK(Pids(DescendantsOf({{{10, 5}, 11}, {{11, 5}, 10}}, {{10, 5}})) == std::set<uint32_t>{11});
}

KilledProcess Of(uint32_t pid, CommandOutcome outcome) {
  return {pid, outcome, "found", ""};
}

TEST_CASE("the outcome of a group says the worst that is left") {
  using enum CommandOutcome;
  CHECK(SummarizeKills({}, "").outcome == kAlreadyGone);
  CHECK(SummarizeKills({Of(2, kAlreadyGone)}, "").outcome == kAlreadyGone);
  CHECK(SummarizeKills({Of(2, kGone), Of(3, kAlreadyGone)}, "").outcome == kGone);
  CHECK(SummarizeKills({Of(2, kRefused)}, "").outcome == kRefused);
  CHECK(SummarizeKills({Of(2, kUnknown)}, "").outcome == kRefused);
  CHECK(SummarizeKills({Of(2, kGone), Of(3, kRefused)}, "").outcome == kGone);
  CHECK(SummarizeKills({Of(2, kGone), Of(3, kSignalledStillThere)}, "").outcome == kSignalledStillThere);
}

TEST_CASE("what was not killed is listed first, the list and its texts are bounded, the counts are not") {
  std::vector<KilledProcess> processes;
  for (uint32_t pid = 2; pid < 1002; ++pid) processes.push_back(Of(pid, CommandOutcome::kGone));
  processes.push_back({5000, CommandOutcome::kRefused, std::string(100000, 'x'), "why"});
  processes.push_back(Of(5001, CommandOutcome::kSignalledStillThere));
  const CommandResult result = SummarizeKills(processes, "somehow");
  REQUIRE(result.group.has_value());
  CHECK(result.group->counts == KillCounts{1000, 1, 1});
  REQUIRE(result.group->processes.size() == kMostProcessesListed);
  CHECK(result.group->processes[0].pid == 5000);
  CHECK(result.group->processes[0].found.size() < 300);
  CHECK(result.group->processes[1].pid == 5001);
  CHECK(result.message == "1000 killed, and seen to end; 1 signalled and not ended; 1 left alone; somehow");
}

}  // namespace
}  // namespace bulkhead::sensor
