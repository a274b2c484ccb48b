// Commands are carried out at most once.
#include "sensor/domain/command_log.h"

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
const absl::Time kNow = absl::FromUnixSeconds(1000);

Command Kill(const std::string& id) {
  Command command;
  command.id = id;
  command.sensor_id = kSensor;
  command.process.pid = 42;
  command.not_after = kNow + absl::Minutes(5);
  return command;
}

CommandResult Gone() {
  return {CommandOutcome::kGone, "sleep", "done"};
}

TEST_CASE("a new command starts once; repeats wait for the result and then get it") {
  CommandLog log;
  CHECK(log.Take(Kill("a"), kSensor, kNow) == CommandDecision::kStart);
  CHECK(log.Take(Kill("a"), kSensor, kNow) == CommandDecision::kInFlight);
  log.Finish("a", Gone());
  CHECK(log.Take(Kill("a"), kSensor, kNow) == CommandDecision::kAnswer);
  REQUIRE(log.ResultOf("a") != nullptr);
  CHECK(log.ResultOf("a")->outcome == CommandOutcome::kGone);
}

TEST_CASE("the first result stays") {
  CommandLog log;
  log.Take(Kill("a"), kSensor, kNow);
  log.Finish("a", Gone());
  log.Finish("a", {CommandOutcome::kRefused, "", ""});
  CHECK(log.ResultOf("a")->outcome == CommandOutcome::kGone);
}

TEST_CASE("a command that was interrupted by a restart is answered as unknown and not tried again") {
  CommandLog before;
  before.Take(Kill("a"), kSensor, kNow);
  CommandLog after(before.records());
  CHECK(after.Take(Kill("a"), kSensor, kNow) == CommandDecision::kAnswer);
  CHECK(after.ResultOf("a")->outcome == CommandOutcome::kUnknown);
  REQUIRE(after.Unacknowledged().size() == 1);
}

TEST_CASE("an order to the guard is remembered as one, and taken once like a kill") {
  CommandLog log;
  Command lower = Kill("guard");
  lower.guard = LowerGuard{absl::Seconds(5)};
  CHECK(log.Take(lower, kSensor, kNow) == CommandDecision::kStart);
  log.Take(Kill("kill"), kSensor, kNow);
  CommandLog after(log.records());
  CHECK(after.Take(lower, kSensor, kNow) == CommandDecision::kAnswer);
  REQUIRE(after.Unacknowledged().size() == 2);
  CHECK(after.Unacknowledged()[0].kind == CommandKind::kGuard);
  CHECK(after.Unacknowledged()[1].kind == CommandKind::kKillProcess);
}

TEST_CASE("the processes of a group are kept until the control plane has them, the counts after it") {
  CommandLog log;
  Command group = Kill("group");
  group.group = RunningFile{"/bin/x", ""};
  CHECK(log.Take(group, kSensor, kNow) == CommandDecision::kStart);
  CommandResult result = Gone();
  result.group = {{1, 0, 0}, {{7, CommandOutcome::kGone, "x", ""}}};
  log.Finish("group", result);
  REQUIRE(log.Unacknowledged().size() == 1);
  CHECK(log.Unacknowledged()[0].kind == CommandKind::kKillGroup);
  CHECK(log.Unacknowledged()[0].result->group == result.group);
  log.Acknowledge("group");
  CHECK(log.ResultOf("group")->group->processes.empty());
  CHECK(log.ResultOf("group")->group->counts.killed == 1);
}

TEST_CASE("a stored result survives a restart and is told when asked") {
  CommandLog before;
  before.Take(Kill("a"), kSensor, kNow);
  before.Finish("a", Gone());
  CommandLog after(before.records());
  CHECK(after.Unacknowledged().empty());
  CHECK(after.Take(Kill("a"), kSensor, kNow) == CommandDecision::kAnswer);
  CHECK(after.ResultOf("a")->outcome == CommandOutcome::kGone);
}

TEST_CASE("an expired command and one for another sensor are refused, not started") {
  CommandLog log;
  CHECK(log.Take(Kill("late"), kSensor, kNow + absl::Minutes(5) + absl::Nanoseconds(1)) == CommandDecision::kAnswer);
  CHECK(log.ResultOf("late")->outcome == CommandOutcome::kRefused);
  CHECK(log.Take(Kill("just in time"), kSensor, kNow + absl::Minutes(5)) == CommandDecision::kStart);
  CHECK(log.Take(Kill("foreign"), "someone else", kNow) == CommandDecision::kAnswer);
  CHECK(log.ResultOf("foreign")->outcome == CommandOutcome::kRefused);
}

TEST_CASE("results are repeated until they are acknowledged") {
  CommandLog log;
  log.Take(Kill("a"), kSensor, kNow);
  CHECK(log.Unacknowledged().empty());
  log.Finish("a", Gone());
  CHECK(log.Unacknowledged().size() == 1);
  log.Acknowledge("a");
  CHECK(log.Unacknowledged().empty());
  CHECK(log.Take(Kill("a"), kSensor, kNow) == CommandDecision::kAnswer);
}

TEST_CASE("the log forgets acknowledged results first and what is running never") {
  CommandLog log;
  log.Take(Kill("running"), kSensor, kNow);
  log.Take(Kill("unacknowledged"), kSensor, kNow);
  log.Finish("unacknowledged", Gone());
  for (size_t i = 0; i < CommandLog::kRetained; ++i) {
    const std::string id = absl::StrCat("c", i);
    log.Take(Kill(id), kSensor, kNow);
    log.Finish(id, Gone());
    log.Acknowledge(id);
  }
  CHECK(log.records().size() == CommandLog::kRetained);
  CHECK(log.Take(Kill("running"), kSensor, kNow) == CommandDecision::kInFlight);
  CHECK(log.ResultOf("unacknowledged") != nullptr);
  CHECK(log.ResultOf("c0") == nullptr);
}

Command Signed(const std::string& id, const std::string& statement) {
  Command command = Kill(id);
  command.statement_digest = statement;
  command.statement_expires_at = command.not_after;
  return command;
}

TEST_CASE("what was signed is carried out once, under whatever id it comes, also after a restart") {
  CommandLog log;
  CHECK(log.Take(Signed("a", "s"), kSensor, kNow) == CommandDecision::kStart);
  log.Finish("a", Gone());
  CommandLog again(log.records());
  CHECK(again.Take(Signed("b", "s"), kSensor, kNow) == CommandDecision::kAnswer);
  CHECK(again.ResultOf("b")->outcome == CommandOutcome::kRefused);
  CHECK(again.Take(Signed("c", "t"), kSensor, kNow) == CommandDecision::kStart);
}

TEST_CASE("other commands do not push out what was signed before it has expired") {
  CommandLog log;
  log.Take(Signed("a", "s"), kSensor, kNow);
  log.Finish("a", Gone());
  log.Acknowledge("a");
  for (size_t i = 0; i < 2 * CommandLog::kRetained; ++i) {
    const std::string id = absl::StrCat("other-", i);
    log.Take(Kill(id), kSensor, kNow);
    log.Finish(id, Gone());
    log.Acknowledge(id);
  }
  CHECK(log.Take(Signed("b", "s"), kSensor, kNow) == CommandDecision::kAnswer);
}

}  // namespace
}  // namespace bulkhead::sensor
