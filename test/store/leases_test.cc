// Leases in the database: stored, ended by the system with an audit record, held, renewed, and swept by several
// replicas.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

const absl::Time kNow = absl::FromUnixMicros(1790000000123456);

absl::StatusOr<orders::PolicyOrdered> ContainUntil(Store& store, std::optional<absl::Time> end,
                                                   OnExpiry on_expiry = OnExpiry::kRelease) {
  return Give(store, [&](Transaction& tx) {
    return orders::ContainSensor(tx, By("olga"), "web-1", {.expires_at = end, .on_expiry = on_expiry});
  });
}

std::vector<AuditRecord> Records(Store& store, const std::string& action) {
  const auto page = store.ListAudit("", 1000, "");
  REQUIRE_OK(page);
  std::vector<AuditRecord> found;
  for (const AuditRecord& record : page->items) {
    if (record.action == action) found.push_back(record);
  }
  return found;
}

int End(Store& store, absl::Time now) {
  const auto ended = orders::EndExpiredPolicies(store, now);
  REQUIRE_OK(ended);
  return *ended;
}

TEST_CASE("a lease is stored to the microsecond, with what happens at its end") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto ordered = Give(*store, [&](Transaction& tx) {
    return orders::IsolateSensor(
        tx, By("olga"), "web-1",
        {.expires_at = kNow, .on_expiry = OnExpiry::kHold, .on_unreachable = OnUnreachable::kHold});
  });
  REQUIRE_OK(ordered);
  const Sensor sensor = Read(*store, "web-1");
  REQUIRE(sensor.policies.size() == 1);
  CHECK(sensor.policies[0].expires_at == kNow);
  CHECK(sensor.policies[0].on_expiry == OnExpiry::kHold);
  CHECK(sensor.policies[0].on_unreachable == OnUnreachable::kHold);
  CHECK(absl::StrContains(Records(*store, "sensor_isolated").at(0).details_json, "expires_at"));
}

TEST_CASE("a lease that is over leaves the desired state: next generation, and a record by the system") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  REQUIRE_OK(ContainUntil(*store, kNow));
  const uint64_t generation = Read(*store, "web-1").desired_generation;
  CHECK(End(*store, kNow - absl::Microseconds(1)) == 0);
  CHECK(Read(*store, "web-1").desired_generation == generation);
  CHECK(End(*store, kNow) == 1);
  const Sensor after = Read(*store, "web-1");
  CHECK(after.policies.empty());
  CHECK(after.desired_generation == generation + 1);
  const std::vector<AuditRecord> records = Records(*store, "policy_expired");
  REQUIRE(records.size() == 1);
  CHECK(records[0].actor == orders::kSystemActor);
  CHECK(records[0].target == "sensor/" + after.id);
  CHECK(End(*store, kNow + absl::Hours(1)) == 0);
}

TEST_CASE("a lease that holds, and one that never ends, stay") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  REQUIRE_OK(ContainUntil(*store, kNow, OnExpiry::kHold));
  CHECK(End(*store, kNow + absl::Hours(1)) == 0);
  REQUIRE_OK(ContainUntil(*store, std::nullopt));
  CHECK(End(*store, kNow + absl::Hours(24 * 365)) == 0);
  CHECK(Read(*store, "web-1").policies.size() == 1);
}

TEST_CASE("another lease is another policy; the same order again is not") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto first = ContainUntil(*store, kNow);
  REQUIRE_OK(first);
  const auto again = ContainUntil(*store, kNow);
  REQUIRE_OK(again);
  CHECK(again->unchanged);
  const auto longer = ContainUntil(*store, kNow + absl::Hours(1));
  REQUIRE_OK(longer);
  CHECK_FALSE(longer->unchanged);
  CHECK(longer->policy.id != first->policy.id);
  CHECK(Read(*store, "web-1").policies.size() == 1);
  CHECK(End(*store, kNow) == 0);
}

TEST_CASE("replicas that sweep at the same moment end a lease once") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  REQUIRE_OK(ContainUntil(*store, kNow));
  std::atomic<int> ended = 0;
  std::vector<std::thread> replicas;
  for (int i = 0; i < 4; ++i) {
    replicas.emplace_back([&] { ended += orders::EndExpiredPolicies(*store, kNow).value_or(100); });
  }
  for (std::thread& replica : replicas) replica.join();
  CHECK(ended == 1);
  CHECK(Records(*store, "policy_expired").size() == 1);
}

TEST_CASE("a revoked sensor's lease ends too") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  REQUIRE_OK(ContainUntil(*store, kNow));
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("admin"), "web-1"); }));
  CHECK(End(*store, kNow) == 1);
}

}  // namespace
}  // namespace bulkhead::controlplane
