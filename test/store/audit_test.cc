// The audit log as it is read back: filters, pages, and the check of its chain.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controlplane/domain/audit_chain.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

Store::AuditCheck Check(Store& store) {
  auto check = store.VerifyAudit();
  REQUIRE_OK(check);
  return *check;
}

// What somebody does who owns the database and switches the guards off.
void Tamper(const Database& database, const std::string& sql) {
  database.ExecuteAsSuperuser(absl::StrCat("SET session_replication_role = replica; ", sql));
}

TEST_CASE("the chain is intact after many orders at once, without gaps") {
  const Database database;
  const auto store = database.Open();
  CHECK(Check(*store).records == 0);
  for (int i = 0; i < 4; ++i) Enroll(*store, absl::StrCat("web-", i));
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) results[i].Update(Contain(*store, absl::StrCat("web-", i)).status());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CHECK_CODE(result, kOk);
  const Store::AuditCheck check = Check(*store);
  INFO(check.problem);
  CHECK(check.first_bad == 0);
  CHECK(check.records == 4 * 2 + 4 * 5);
}

TEST_CASE("a change, a deletion, a cut at the end and an addition are found") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  for (int i = 0; i < 3; ++i) REQUIRE_OK(Contain(*store, "web-1"));
  REQUIRE(Check(*store).first_bad == 0);
  Tamper(database, "UPDATE audit_log SET actor = 'nobody' WHERE sequence = 2");
  CHECK(Check(*store).first_bad == 2);
  CHECK(Check(*store).records == 1);
  Tamper(database, "UPDATE audit_log SET actor = 'sensor:web-1' WHERE sequence = 2");
  REQUIRE(Check(*store).first_bad == 0);
  Tamper(database,
         "CREATE TABLE kept AS SELECT * FROM audit_log WHERE sequence = 5; DELETE FROM audit_log WHERE sequence = 5");
  CHECK(Check(*store).first_bad == 5);
  CHECK(absl::StrContains(Check(*store).problem, "missing at the end"));
  Tamper(database, "INSERT INTO audit_log SELECT * FROM kept");
  REQUIRE(Check(*store).first_bad == 0);
  Tamper(database,
         "INSERT INTO audit_log SELECT 6, recorded_at, actor, action, target, request_id, outcome, details, hash FROM "
         "kept");
  CHECK(Check(*store).first_bad == 6);
}

TEST_CASE("a log longer than one read is walked to its end") {
  const Database database;
  const auto store = database.Open();
  REQUIRE_OK(store->Run([](Transaction& tx) {
    AuditRecord record;
    record.actor = "olga";
    record.action = "sensor_contained";
    record.target = "sensor/x";
    record.outcome = "applied";
    record.details_json = "{}";
    absl::Status status;
    for (int i = 0; i < 2001; ++i) status.Update(tx.AppendAudit(record));
    return status;
  }));
  CHECK(Check(*store).records == 2001);
  CHECK(Check(*store).first_bad == 0);
}

TEST_CASE("records are listed newest first, by target, in pages, with what was done and why") {
  const Database database;
  const auto store = database.Open();
  const Sensor one = Enroll(*store, "web-1");
  Enroll(*store, "web-2");
  OrderContext context = By("olga", "request-1");
  context.reason = "it \"beacons\"";
  REQUIRE_OK(Contain(*store, "web-1", context));
  const std::string target = absl::StrCat("sensor/", one.id);
  const auto first = store->ListAudit(target, 1, "");
  REQUIRE_OK(first);
  REQUIRE(first->items.size() == 1);
  const AuditRecord& record = first->items[0];
  CHECK(record.action == "sensor_contained");
  CHECK(record.actor == "olga");
  CHECK(record.request_id == "request-1");
  CHECK(record.hash.size() == 32);
  CHECK(absl::StrContains(record.details_json, R"("reason":"it \"beacons\"")"));
  const auto second = store->ListAudit(target, 1, first->next_page_token);
  REQUIRE_OK(second);
  CHECK(second->items[0].action == "sensor_enrolled");
  CHECK(second->next_page_token.empty());
  CHECK_CODE(store->ListAudit("", 1, first->next_page_token), kInvalidArgument);
  CHECK(store->ListAudit("", 100, "")->items.size() == 5);
}

TEST_CASE("an export chains from any record to any other, page by page") {
  const Database database;
  const auto store = database.Open();
  CHECK(store->GetAuditHead()->sequence == 0);
  CHECK(store->ExportAudit(0, 0, std::nullopt, 10)->records.empty());
  Enroll(*store, "web-1");
  for (int i = 0; i < 5; ++i) REQUIRE_OK(Contain(*store, "web-1"));
  const Store::AuditHead head = *store->GetAuditHead();
  CHECK(head.sequence == 7);
  for (const uint64_t from : {0, 1, 3, 7}) {
    INFO("from " << from);
    AuditChainChecker chain;
    uint64_t next = from;
    for (bool first = true; first || next != 0; first = false) {
      const auto span = store->ExportAudit(next, 0, std::nullopt, 2);
      REQUIRE_OK(span);
      REQUIRE_FALSE(span->records.empty());
      if (first && from > 1) chain = AuditChainChecker(from - 1, span->previous_hash);
      CHECK(span->previous_hash == chain.last_hash());
      for (const AuditRecord& record : span->records) CHECK(chain.Take(record));
      next = span->next;
    }
    CHECK(chain.Finish(head.sequence, head.hash));
  }
  CHECK(store->ExportAudit(2, 3, std::nullopt, 10)->records.size() == 2);
  CHECK(store->ExportAudit(8, 0, std::nullopt, 10)->records.empty());
  CHECK(store->ExportAudit(0, 0, absl::Now() + absl::Hours(1), 10)->records.empty());
  CHECK(store->ExportAudit(0, 0, absl::Now() - absl::Hours(1), 10)->records.size() == 7);
}

}  // namespace
}  // namespace bulkhead::controlplane
