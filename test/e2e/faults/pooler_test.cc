// Control planes behind PgBouncer, as deploy/pgbouncer sets it up: orders are given and arrive, also where a pooler
// loses every notification, and the log says so.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "common/uuid.h"
#include "e2e/faults/front.h"
#include "e2e/faults/trial.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kSoon = std::chrono::seconds(40);
constexpr char kComplaint[] = "notifications of PostgreSQL do not arrive";

struct Pooled {
  std::string directory = MakeTempDirectory();
  Postgres postgres;
  Pooler pooler;
  std::unique_ptr<Cluster> cluster;

  Pooled(const std::string& mode, bool listens_directly)
      : postgres(directory, {.name = "db", .port = FreePort(), .include = "", .standby_of = ""}),
        pooler(directory, mode, postgres.port()) {
    const std::string direct = "postgresql://postgres@127.0.0.1:" + std::to_string(postgres.port()) + "/postgres";
    std::vector<std::string> more;
    if (listens_directly) more.push_back("--postgres-listen=" + direct);
    cluster = std::make_unique<Cluster>(
        Cluster::Options{.replicas = 2, .heartbeat_interval = "5s", .more_arguments = more, .database = pooler.url()});
  }
  ~Pooled() {
    cluster.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  bool Complains(int replica) const { return cluster->ReplicaLog(replica).find(kComplaint) != std::string::npos; }

  // The promises that were broken while operators gave orders at both replicas.
  std::string VerdictOverOrders() {
    Trial trial(*cluster, {.sensors = 12, .servers = {}, .operator_servers = {}, .seed = 1});
    CHECK(Eventually(kSoon, [&] { return trial.orders() > 50; }));
    return trial.Verdict();
  }

  // The longest of a few orders that are given to replica 0 for a sensor of replica 1, until it has them; -1: never.
  int WorstMillis() {
    const std::vector<SimIdentity> one = EnrollSensors(cluster->OperatorChannel(0), "far-", 1);
    SimOptions options;
    options.servers = {cluster->address(1)};
    History history;
    const SimFleet fleet(&options, one, &history, 1);
    const auto stub = v1::SensorService::NewStub(cluster->OperatorChannel(0));
    if (!Eventually(kSoon, [&] { return fleet.counts().connected == 1 && !history.applied().empty(); })) return -1;
    int worst = 0;
    for (int i = 0; i < 4; ++i) {
      const size_t before = history.applied().size();
      grpc::ClientContext context;
      v1::BlockBinaryRequest request;
      request.set_sensor(one[0].sensor_id);
      request.set_request_id(NewUuid());
      request.mutable_binary()->set_path("/opt/app/" + std::to_string(i));
      v1::BlockBinaryResponse response;
      if (!stub->BlockBinary(&context, request, &response).ok()) return -1;
      const auto ordered = Clock::now();
      if (!Eventually(kSoon, [&] { return history.applied().size() > before; })) return -1;
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ordered);
      worst = std::max(worst, static_cast<int>(took.count()));
    }
    return worst;
  }
};

TEST_CASE("session pooling: notifications arrive, every promise is kept") {
  Pooled pooled("session", /*listens_directly=*/false);
  CHECK_FALSE(pooled.Complains(0));
  CHECK(pooled.VerdictOverOrders() == "");
  CHECK(pooled.cluster->ReplicaLog(0).find("listening for changes was interrupted") == std::string::npos);
  const int worst = pooled.WorstMillis();
  WARN("session pooling: an order reached a sensor of another replica within " << worst << " ms");
  CHECK(worst >= 0);
  CHECK(worst < 2000);
}

TEST_CASE(
    "transaction pooling: notifications are lost, which is said at the start, and the sweep carries every order") {
  Pooled pooled("transaction", /*listens_directly=*/false);
  CHECK(pooled.Complains(0));
  CHECK(pooled.Complains(1));
  CHECK(pooled.VerdictOverOrders() == "");
  const int worst = pooled.WorstMillis();
  WARN("transaction pooling: an order reached a sensor of another replica within " << worst << " ms");
  CHECK(worst >= 0);
  CHECK(worst < 8000);
}

TEST_CASE("transaction pooling with a direct connection for notifications is as quick as without a pooler") {
  Pooled pooled("transaction", /*listens_directly=*/true);
  CHECK_FALSE(pooled.Complains(0));
  CHECK_FALSE(pooled.Complains(1));
  const int worst = pooled.WorstMillis();
  WARN("transaction pooling, --postgres-listen: an order reached a sensor of another replica within " << worst
                                                                                                      << " ms");
  CHECK(worst >= 0);
  CHECK(worst < 2000);
}

}  // namespace
}  // namespace bulkhead::e2e
