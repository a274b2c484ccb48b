// A server that another has taken over from is refused, also after a restart; a read-only one is no server at all.
#include "controlplane/store/timeline_fence.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "controlplane/store/connection_pool.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

std::unique_ptr<TimelineFence> Load(const std::string& file) {
  auto fence = TimelineFence::Load(file);
  REQUIRE_OK(fence);
  return *std::move(fence);
}

TEST_CASE("an older timeline of the same system is refused, a newer one is learned, another system begins anew") {
  const bulkhead::test::TempDir directory;
  const std::string file = directory.path() + "/database-timeline";
  const auto fence = Load(file);
  CHECK_CODE(fence->Check({.system = 7, .timeline = 1}), kOk);
  CHECK_CODE(fence->Check({.system = 7, .timeline = 3}), kOk);
  CHECK_CODE(fence->Check({.system = 7, .timeline = 2}), kFailedPrecondition);
  CHECK_CODE(Load(file)->Check({.system = 7, .timeline = 2}), kFailedPrecondition);
  CHECK_CODE(Load(file)->Check({.system = 8, .timeline = 1}), kOk);
  CHECK_CODE(Load(file)->Check({.system = 8, .timeline = 1}), kOk);
}

TEST_CASE("a file that holds something else is refused, one that cannot be written too") {
  const bulkhead::test::TempDir directory;
  const std::string file = directory.path() + "/database-timeline";
  std::ofstream(file) << "7\n";
  CHECK_CODE(TimelineFence::Load(file), kInvalidArgument);
  CHECK_FALSE(Load(directory.path() + "/missing/database-timeline")->Check({.system = 7, .timeline = 1}).ok());
}

TEST_CASE("a connection is refused where the fence has seen a newer timeline, and the next one is not lent") {
  const Database database;
  const auto fence = Load("");
  REQUIRE_OK(PgConnection::Open(database.connection_string(), fence.get()));
  const uint64_t system = std::stoull(database.Value("SELECT system_identifier FROM pg_control_system()"));
  REQUIRE_OK(fence->Check({.system = system, .timeline = 2}));
  const auto refused = PgConnection::Open(database.connection_string(), fence.get());
  CHECK_CODE(refused, kUnavailable);
  CHECK_THAT(std::string(refused.status().message()), Catch::Contains("an old primary came back"));
  ConnectionPool pool(database.connection_string(), 1, fence.get());
  CHECK_CODE(pool.Acquire(), kUnavailable);
}

TEST_CASE("a database that became read-only is left: calls are UNAVAILABLE until it takes writes again") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const std::string name = database.Value("SELECT current_database()");
  const auto set = [&](const std::string& value) {
    database.ExecuteAsSuperuser("BEGIN READ WRITE; ALTER DATABASE " + name +
                                " SET default_transaction_read_only = " + value + "; COMMIT");
  };
  // One connection learns it in the middle of its life, all others when they are opened.
  set("on");
  REQUIRE_OK(store->Run([](Transaction& tx) { return tx.GetSensor("web-1", false).status(); }));
  database.ExecuteAsSuperuser(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bulkhead'"
      " AND datname = current_database()");
  CHECK_CODE(Contain(*store, "web-1"), kUnavailable);
  CHECK_CODE(store->Run([](Transaction& tx) { return tx.GetSensor("web-1", false).status(); }), kUnavailable);
  set("off");
  CHECK_CODE(Contain(*store, "web-1"), kOk);
}

}  // namespace
}  // namespace bulkhead::controlplane
