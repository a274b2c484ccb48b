// The checker itself: a clean record passes, and each kind of broken promise is found.
#include "e2e/faults/checker.h"

#include <catch2/catch.hpp>

namespace bulkhead::e2e {
namespace {

constexpr char kSensor[] = "s1";

GivenOrder Given(OrderKind kind, const std::string& request_id, uint64_t generation_after) {
  GivenOrder order;
  order.kind = kind;
  order.request_id = request_id;
  order.sensor_id = kSensor;
  order.generation_after = generation_after;
  return order;
}

Applied At(uint64_t generation, bool contained, bool isolated) {
  return {.sensor_id = kSensor,
          .generation = generation,
          .digest = "d" + std::to_string(generation),
          .enforced = {.contained = contained, .isolated = isolated, .blocked = {}},
          .when = {}};
}

// Contain, contain again, isolate (which the host never saw apart from the release that followed), release, kill.
Evidence Clean() {
  Evidence evidence;
  evidence.orders = {Given(OrderKind::kContain, "r1", 2), Given(OrderKind::kContain, "r2", 2),
                     Given(OrderKind::kIsolate, "r3", 3), Given(OrderKind::kRelease, "r4", 4),
                     Given(OrderKind::kKill, "r5", 0)};
  evidence.orders[1].unchanged = true;
  evidence.orders[4].command_id = "c1";
  evidence.applied = {At(1, false, false), At(2, true, false), At(4, false, false)};
  evidence.killed = {{.sensor_id = kSensor, .command_id = "c1", .pid = 7}};
  evidence.sensors[kSensor] = {.generation = 4, .digest = "d4", .connected = true, .synced = true};
  evidence.commands["c1"] = FinalCommand::kSucceeded;
  const std::string target = "sensor/s1";
  evidence.audit = {{"sensor_contained", target, "r1", "applied"},
                    {"sensor_contained", target, "r2", "unchanged"},
                    {"sensor_isolated", target, "r3", "applied"},
                    {"sensor_released", target, "r4", "applied"},
                    {"process_kill_ordered", target, "r5", "applied"}};
  return evidence;
}

// Breaks one thing and says whether just that is found.
template <typename Break>
std::string FirstProblem(Break damage) {
  Evidence evidence = Clean();
  damage(evidence);
  const std::vector<std::string> problems = Check(evidence);
  return problems.empty() ? "" : problems.front();
}

TEST_CASE("a run that kept every promise passes") {
  CHECK(Check(Clean()).empty());
}

TEST_CASE("a lost order is found, wherever it was lost") {
  CHECK_THAT(FirstProblem([](Evidence& e) { e.applied.pop_back(); }), Catch::Contains("an order is lost"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.sensors[kSensor].generation = 3; }),
             Catch::Contains("another generation"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.orders[2].generation_after = 2; }), Catch::Contains("was answered with"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.commands["c1"] = FinalCommand::kOpen; }), Catch::Contains("has no end"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.commands.clear(); }), Catch::Contains("has no end"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.killed.clear(); }), Catch::Contains("nothing was killed"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.sensors[kSensor].connected = false; }), Catch::Contains("not connected"));
  CHECK_THAT(FirstProblem([](Evidence& e) {
               e.killed.clear();
               e.commands["c1"] = FinalCommand::kExpired;
             }),
             Catch::Contains("before its time"));
}

TEST_CASE("what was done twice, or never ordered, is found") {
  CHECK_THAT(FirstProblem([](Evidence& e) { e.killed.push_back(e.killed[0]); }), Catch::Contains("2 times"));
  CHECK_THAT(FirstProblem([](Evidence& e) {
               e.killed.push_back({kSensor, "c2", 8});
             }),
             Catch::Contains("nobody ordered"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.applied[1].enforced.isolated = true; }), Catch::Contains("ordered was"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.applied.push_back(At(5, true, true)); }),
             Catch::Contains("nobody ordered"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.applied.push_back(At(2, true, false)); }), Catch::Contains("went back"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.commands["c1"] = FinalCommand::kExpired; }),
             Catch::Contains("expired, but"));
}

TEST_CASE("a lease that is read by a clock that jumped is found, and one that was renewed is a change") {
  const auto lease = [](double seconds) {
    return FirstProblem([=](Evidence& e) {
      e.applied.insert(e.applied.begin() + 2, At(3, true, true));
      e.applied[2].isolation_seconds = seconds;
    });
  };
  CHECK(lease(kLeaseSeconds - 60) == "");
  CHECK_THAT(lease(2 * kLeaseSeconds), Catch::Contains("its lease lasts"));
  CHECK_THAT(lease(1), Catch::Contains("its lease lasts"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.orders[1].leased = true; }), Catch::Contains("but makes 3"));
}

TEST_CASE("audit and changes belong together, one to one") {
  CHECK_THAT(FirstProblem([](Evidence& e) { e.audit.pop_back(); }), Catch::Contains("has 0 audit records"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.audit.push_back(e.audit[0]); }), Catch::Contains("has 2 audit records"));
  CHECK_THAT(FirstProblem([](Evidence& e) { e.audit[0].outcome = "unchanged"; }), Catch::Contains("something else"));
  CHECK_THAT(FirstProblem([](Evidence& e) {
               e.audit.push_back({"sensor_isolated", "sensor/s1", "r9", "applied"});
             }),
             Catch::Contains("without its order"));
}

}  // namespace
}  // namespace bulkhead::e2e
