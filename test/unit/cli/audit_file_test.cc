// An exported audit log, and everything that somebody may do to it.
#include "controlplane/cli/audit_file.h"

#include <catch2/catch.hpp>
#include <sstream>
#include <vector>

#include "bulkhead/v1/audit.pb.h"
#include "common/hex.h"
#include "controlplane/cli/message_text.h"
#include "controlplane/domain/audit_chain.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane::cli {
namespace {

using Catch::Matchers::Contains;

// Records 1 to `length` as an export has them; `actor` is who did all of it.
std::vector<v1::AuditRecord> Log(uint64_t length, const std::string& actor = "olga") {
  std::vector<v1::AuditRecord> log;
  std::string previous = AuditGenesisHash();
  for (uint64_t i = 1; i <= length; ++i) {
    AuditRecord record{.sequence = i,
                       .time = absl::FromUnixMicros(1'790'000'000'123'450 + static_cast<int64_t>(i)),
                       .actor = actor,
                       .action = "sensor_contained",
                       .target = "sensor/x",
                       .request_id = "",
                       .outcome = "applied",
                       .details_json = R"({"reason":"\"beacon\" é"})",
                       .hash = ""};
    v1::AuditRecord out;
    out.set_sequence(i);
    out.mutable_time()->set_seconds(absl::ToUnixSeconds(record.time));
    out.mutable_time()->set_nanos(static_cast<int32_t>(absl::ToUnixMicros(record.time) % 1'000'000 * 1000));
    out.set_actor(record.actor);
    out.set_action(record.action);
    out.set_target(record.target);
    out.set_outcome(record.outcome);
    out.set_details_json(record.details_json);
    out.set_previous_hash(previous);
    out.set_hash(previous = AuditRecordHash(previous, record));
    log.push_back(out);
  }
  return log;
}

absl::StatusOr<AuditFile> Verify(const std::vector<v1::AuditRecord>& log,
                                 const std::optional<AuditHead>& expected = std::nullopt,
                                 const std::string& tail = "") {
  std::stringstream file;
  for (const v1::AuditRecord& record : log) file << ToJsonLine(record).value();
  file << tail;
  return VerifyAuditFile(file, expected);
}

TEST_CASE("an export is intact, whole or in part") {
  std::vector<v1::AuditRecord> log = Log(5);
  const auto whole = Verify(log);
  REQUIRE_OK(whole);
  CHECK(whole->records == 5);
  CHECK(whole->last.hash == log[4].hash());
  log.erase(log.begin(), log.begin() + 2);
  const auto part = Verify(log);
  REQUIRE_OK(part);
  CHECK(part->first == 3);
  CHECK(Verify({})->records == 0);
}

TEST_CASE("a change of any field, a record left out, doubled or moved is found at its place") {
  const auto at = [](std::vector<v1::AuditRecord> log) { return std::string(Verify(log).status().message()); };
  const auto changed = [&](auto change) {
    std::vector<v1::AuditRecord> log = Log(4);
    change(log[2]);
    const absl::Status status = Verify(log).status();
    CHECK_CODE(status, kDataLoss);
    CHECK_THAT(std::string(status.message()), Contains("record 3"));
  };
  changed([](v1::AuditRecord& record) { record.set_actor("mallory"); });
  changed([](v1::AuditRecord& record) { record.set_action("sensor_released"); });
  changed([](v1::AuditRecord& record) { record.set_target("sensor/y"); });
  changed([](v1::AuditRecord& record) { record.set_request_id("r"); });
  changed([](v1::AuditRecord& record) { record.set_outcome("unchanged"); });
  changed([](v1::AuditRecord& record) { record.set_details_json("{}"); });
  changed([](v1::AuditRecord& record) { record.mutable_time()->set_nanos(record.time().nanos() + 1000); });
  changed([](v1::AuditRecord& record) { record.mutable_time()->set_nanos(record.time().nanos() + 1); });
  changed([](v1::AuditRecord& record) { record.set_hash(std::string(32, 'x')); });
  changed([](v1::AuditRecord& record) { record.set_previous_hash(std::string(32, 'x')); });
  std::vector<v1::AuditRecord> log = Log(4);
  log.erase(log.begin() + 1);
  CHECK_THAT(at(log), Contains("record 3") || Contains("record 2"));
  log = Log(4);
  log.insert(log.begin() + 1, log[0]);
  CHECK_CODE(Verify(log), kDataLoss);
  log = Log(4);
  std::swap(log[1], log[2]);
  CHECK_CODE(Verify(log), kDataLoss);
  log = Log(4);
  log[0].set_previous_hash(std::string(32, 'x'));
  CHECK_THAT(at(log), Contains("record 1"));
}

TEST_CASE("a log that was cut, or written anew with right hashes, does not have the head that was kept") {
  const std::vector<v1::AuditRecord> log = Log(5);
  const AuditHead kept{4, log[3].hash()};
  REQUIRE_OK(Verify(log, kept));
  REQUIRE_OK(Verify({log.begin(), log.begin() + 4}, kept));
  const absl::Status cut = Verify({log.begin(), log.begin() + 3}, kept).status();
  CHECK_CODE(cut, kDataLoss);
  CHECK_THAT(std::string(cut.message()), Contains("missing at the end"));
  CHECK_CODE(Verify({}, kept), kDataLoss);
  const absl::Status rewritten = Verify(Log(5, "mallory"), kept).status();
  CHECK_CODE(rewritten, kDataLoss);
  CHECK_THAT(std::string(rewritten.message()), Contains("record 4") && Contains("rewritten"));
  // Nothing can be said of a record that the file does not have.
  CHECK_CODE(Verify({log.begin() + 4, log.end()}, kept), kInvalidArgument);
}

TEST_CASE("a line that is no record is refused by its number") {
  for (const std::string tail : {"{}\n", "\n", "not json\n", R"({"sequence":"6","extra":1})", R"({"sequence":")"}) {
    INFO(tail);
    const absl::Status status = Verify(Log(2), std::nullopt, tail).status();
    CHECK_CODE(status, kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains("line 3"));
  }
}

TEST_CASE("a head is read as it is printed") {
  const std::string hash = Sha256("x");
  const auto head = AuditHeadFromText(AuditHeadText(12, hash));
  REQUIRE_OK(head);
  CHECK(head->sequence == 12);
  CHECK(head->hash == hash);
  for (const char* text : {"", "12", "12:", "x:00", "12:abcd", "-1:00", "1:2:3"}) {
    INFO(text);
    CHECK_FALSE(AuditHeadFromText(text).ok());
  }
}

}  // namespace
}  // namespace bulkhead::controlplane::cli
