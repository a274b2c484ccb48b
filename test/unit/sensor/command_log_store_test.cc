// The command log on disk.
#include "sensor/store/command_log_store.h"

#include <catch2/catch.hpp>

#include "common/file_util.h"
#include "common/uuid.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE("records survive, with any bytes in their text") {
  const test::TempDir dir;
  const CommandLogStore store(dir.path());
  REQUIRE_OK(store.Load());
  CHECK(store.Load()->empty());
  const std::vector<CommandRecord> records = {
      {NewUuid(), std::nullopt},
      {NewUuid(), CommandResult{CommandOutcome::kGone, "a b\nc\x01", ""}},
      {NewUuid(), CommandResult{CommandOutcome::kUnknown, "", "gone \xff"}},
      {NewUuid(), std::nullopt, CommandKind::kGuard},
      {NewUuid(), CommandResult{CommandOutcome::kDone, "", "down"}, CommandKind::kGuard},
  };
  REQUIRE_OK(store.Save(records));
  const auto loaded = store.Load();
  REQUIRE_OK(loaded);
  REQUIRE(loaded->size() == 5);
  CHECK_FALSE((*loaded)[0].result.has_value());
  CHECK((*loaded)[0].id == records[0].id);
  CHECK((*loaded)[1].result->found == records[1].result->found);
  CHECK((*loaded)[1].result->message.empty());
  CHECK((*loaded)[2].result->outcome == CommandOutcome::kUnknown);
  CHECK((*loaded)[2].kind == CommandKind::kKillProcess);
  CHECK((*loaded)[3].kind == CommandKind::kGuard);
  CHECK_FALSE((*loaded)[3].result.has_value());
  CHECK((*loaded)[4].kind == CommandKind::kGuard);
  CHECK((*loaded)[4].result->outcome == CommandOutcome::kDone);
}

TEST_CASE("the statement of a signed command survives") {
  const test::TempDir dir;
  const CommandLogStore store(dir.path());
  CommandRecord record{NewUuid(), CommandResult{CommandOutcome::kDone, "", "down"}, CommandKind::kGuard};
  record.statement_digest = std::string(64, 'a');
  record.statement_expires_at = absl::FromUnixSeconds(1800000000);
  REQUIRE_OK(store.Save({record}));
  const auto loaded = store.Load();
  REQUIRE_OK(loaded);
  CHECK((*loaded)[0].kind == CommandKind::kGuard);
  CHECK((*loaded)[0].statement_digest == record.statement_digest);
  CHECK((*loaded)[0].statement_expires_at >= record.statement_expires_at);
  CHECK_CODE(DecodeCommandRecords(record.id + " - signed::7\n").status(), kDataLoss);
  CHECK_CODE(DecodeCommandRecords(record.id + " - signed:aa:soon\n").status(), kDataLoss);
}

TEST_CASE("the result of a group survives with its evidence") {
  const test::TempDir dir;
  const CommandLogStore store(dir.path());
  CommandResult killed{CommandOutcome::kGone, "", "2 killed"};
  killed.group = {{2, 1, 0},
                  {{1, CommandOutcome::kRefused, "init \xff", "never"}, {7, CommandOutcome::kGone, "a b\n", ""}}};
  const std::vector<CommandRecord> records = {
      {NewUuid(), std::nullopt, CommandKind::kKillGroup},
      {NewUuid(), killed, CommandKind::kKillGroup},
      {NewUuid(), CommandResult{CommandOutcome::kRefused, "", "too late"}, CommandKind::kKillGroup},
  };
  REQUIRE_OK(store.Save(records));
  const auto loaded = store.Load();
  REQUIRE_OK(loaded);
  REQUIRE(loaded->size() == 3);
  for (const CommandRecord& record : *loaded) CHECK(record.kind == CommandKind::kKillGroup);
  CHECK_FALSE((*loaded)[0].result.has_value());
  CHECK((*loaded)[1].result->group == killed.group);
  CHECK_FALSE((*loaded)[2].result->group.has_value());
}

TEST_CASE("lines that are not records are refused") {
  const std::string id = NewUuid();
  for (const std::string& line :
       {std::string("x"), std::string("x -"), id, id + " ?", id + " 1 .", id + " 0 . .", id + " 9 . .", id + " 1 a .",
        id + " 1 zz .", id + " 1 . . .", id + " one . .", id + " guard", id + " - kill", id + " 7 . . guard guard",
        id + " 1 . . 1 1 0", id + " 1 . . 1 1 group", id + " 1 . . 1 1 0 7 group", id + " 1 . . 1 1 0 7 9 . . group",
        id + " 1 . . 1 1 0 x 1 . . group"}) {
    INFO(line);
    CHECK_CODE(DecodeCommandRecords(line), kDataLoss);
  }
}

TEST_CASE("a damaged log is told and kept aside") {
  const test::TempDir dir;
  REQUIRE_OK(WriteFileAtomically(dir / "commands", "garbage", 0600));
  const CommandLogStore store(dir.path());
  CHECK_CODE(store.Load(), kDataLoss);
  REQUIRE_OK(store.Load());
}

}  // namespace
}  // namespace bulkhead::sensor
