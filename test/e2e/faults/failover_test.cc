// PostgreSQL's primary is lost, as deploy/postgresql sets it up: what was acknowledged is on the standby, and only
// there.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/uuid.h"
#include "e2e/faults/trial.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kSoon = std::chrono::seconds(30);
constexpr auto kPatience = std::chrono::seconds(3);
// What a replica's lease lasts, and a bit.
constexpr auto kLease = std::chrono::seconds(22);

// Two servers; the first is the primary and named first in the connection string.
struct Pair {
  std::string directory = MakeTempDirectory();
  std::unique_ptr<Postgres> db1, db2;

  Pair() {
    const std::string include = directory + "/bulkhead.conf";
    std::filesystem::copy_file(std::string(BULKHEAD_DEPLOY) + "/postgresql/bulkhead.conf", include);
    db1 = std::make_unique<Postgres>(
        directory, Postgres::Options{.name = "db1", .port = FreePort(), .include = include, .standby_of = ""});
    db2 = std::make_unique<Postgres>(
        directory,
        Postgres::Options{.name = "db2", .port = FreePort(), .include = include, .standby_of = db1->conninfo()});
    REQUIRE(WaitForStandby(*db1));
  }
  ~Pair() {
    db2.reset();
    db1.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  std::string url() const {
    return "postgresql://postgres@127.0.0.1:" + std::to_string(db1->port()) +
           ",127.0.0.1:" + std::to_string(db2->port()) + "/postgres";
  }
  static bool WaitForStandby(const Postgres& primary) {
    return Eventually(kSoon, [&] {
      return primary.Query("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'").out == "1\n";
    });
  }
  static void Promote(const Postgres& standby) {
    const Result promoted = standby.Deploy("promote.sh", {"--old-primary-is-dead", "--alone", standby.data()});
    INFO(promoted.err);
    REQUIRE(promoted.exit_code == 0);
  }
  // Back as a standby of `primary`, and waited for.
  static void Rejoin(Postgres& old, const std::string& name, const Postgres& primary) {
    const Result joined = old.Deploy("rejoin.sh", {name, primary.conninfo() + " dbname=postgres", old.data()});
    INFO(joined.err);
    REQUIRE(joined.exit_code == 0);
    old.Start();
    REQUIRE(primary.Query("ALTER SYSTEM RESET synchronous_standby_names").exit_code == 0);
    REQUIRE(primary.Query("SELECT pg_reload_conf()").exit_code == 0);
    REQUIRE(WaitForStandby(primary));
  }
};

void Cut(const Postgres& server) {
  server.Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'bulkhead%'");
}

std::string OrdersAt(const Postgres& server) {
  return server.Query("SELECT count(*) FROM order_requests").out;
}

bool GoesOn(const Trial& trial) {
  const size_t before = trial.orders();
  return Eventually(kSoon, [&] { return trial.orders() > before + 20; });
}

TEST_CASE(
    "the primary is killed under orders, there and back: none is lost, none is done twice, the audit chain holds") {
  Pair pair;
  Cluster cluster({.replicas = 2, .heartbeat_interval = "1s", .more_arguments = {}, .database = pair.url()});
  Trial trial(cluster, {.sensors = 16, .servers = {}, .operator_servers = {}, .seed = 1});
  REQUIRE(GoesOn(trial));
  pair.db1->Kill();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  Pair::Promote(*pair.db2);
  const auto promoted = Clock::now();
  INFO(cluster.Logs());
  REQUIRE(GoesOn(trial));
  WARN(
      "orders went on within " << std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - promoted).count()
                               << " ms of the promotion");

  // The old primary comes back as what it was, and takes writes. No replica gives it one, whether it connects anew or
  // was started since.
  pair.db1->Start();
  REQUIRE(pair.db1->Query("SELECT pg_is_in_recovery()").out == "f\n");
  const std::string before = OrdersAt(*pair.db1);
  cluster.replica(1).Kill();
  cluster.StartReplica(1);
  Cut(*pair.db2);
  REQUIRE(GoesOn(trial));
  CHECK(OrdersAt(*pair.db1) == before);
  for (int i = 0; i < 2; ++i) CHECK_THAT(cluster.ReplicaLog(i), Catch::Contains("an old primary came back"));

  pair.db1->daemon().Stop();
  Pair::Rejoin(*pair.db1, "db1", *pair.db2);
  REQUIRE(GoesOn(trial));
  pair.db2->Kill();
  Pair::Promote(*pair.db1);
  REQUIRE(GoesOn(trial));
  CHECK(trial.Verdict() == "");
}

TEST_CASE("while no standby answers nothing is acknowledged, also not by a primary that was killed in between") {
  Pair pair;
  Cluster cluster({.replicas = 1, .heartbeat_interval = "1s", .more_arguments = {}, .database = pair.url()});
  const std::vector<SimIdentity> one = EnrollSensors(cluster.OperatorChannel(0), "web-", 1);
  SimOptions options;
  options.servers = {cluster.address(0)};
  History history;
  const SimFleet fleet(&options, one, &history, 1);
  REQUIRE(Eventually(kSoon, [&] { return fleet.counts().connected == 1; }));
  const auto stub = v1::SensorService::NewStub(cluster.OperatorChannel(0));
  const std::string request_id = NewUuid();
  const auto contain = [&](std::chrono::seconds patience) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    v1::ContainSensorRequest request;
    request.set_sensor(one[0].sensor_id);
    request.set_request_id(request_id);
    v1::ContainSensorResponse response;
    return stub->ContainSensor(&context, request, &response);
  };

  pair.db2->Kill();
  CHECK(contain(kPatience).error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(history.applied().size() == 1);  // the empty state
  // A sensor needs no acknowledged write to stay.
  std::this_thread::sleep_for(kLease);
  grpc::ClientContext context;
  v1::GetSensorRequest get;
  get.set_sensor(one[0].sensor_id);
  v1::GetSensorResponse got;
  REQUIRE(stub->GetSensor(&context, get, &got).ok());
  CHECK(got.sensor().connected());
  CHECK(fleet.counts().streams_opened == 1);

  // The order is in the primary's log and comes into force there by recovery. Nobody may be told so yet.
  pair.db1->Kill();
  pair.db1->Start();
  CHECK_FALSE(contain(kPatience).ok());
  CHECK_FALSE(contain(kPatience).ok());

  pair.db2->Start();
  REQUIRE(Pair::WaitForStandby(*pair.db1));
  INFO(cluster.Logs());
  REQUIRE(Eventually(kSoon, [&] { return contain(kPatience).ok(); }));
  CHECK(Eventually(kSoon, [&] { return history.applied().back().enforced.contained; }));
}

TEST_CASE("a server that takes no more writes is not believed, and left for one that does") {
  Pair pair;
  Cluster cluster({.replicas = 1, .heartbeat_interval = "1s", .more_arguments = {}, .database = pair.url()});
  Trial trial(cluster, {.sensors = 4, .servers = {}, .operator_servers = {}, .seed = 1});
  REQUIRE(GoesOn(trial));
  REQUIRE(pair.db1->Query("ALTER SYSTEM SET default_transaction_read_only = on").exit_code == 0);
  REQUIRE(pair.db1->Query("SELECT pg_reload_conf()").exit_code == 0);
  CHECK(Eventually(kSoon, [&] { return cluster.ReplicaLog(0).find("database is not usable") != std::string::npos; }));
  const size_t stuck = trial.orders();
  std::this_thread::sleep_for(kPatience);
  CHECK(trial.orders() == stuck);
  // The old primary stays up and reads well: a planned change of roles.
  Pair::Promote(*pair.db2);
  INFO(cluster.Logs());
  CHECK(GoesOn(trial));
  CHECK(Eventually(kSoon, [&] {
    return pair.db2->Query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN%' OR query LIKE 'SHOW%'")
               .out != "0\n";
  }));
  CHECK(trial.Verdict() == "");
}

}  // namespace
}  // namespace bulkhead::e2e
