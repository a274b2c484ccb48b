// Clients that misbehave cost the others nothing: these keep their streams, beat on time and get their orders.
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "common/uuid.h"
#include "e2e/faults/abusers.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {
namespace {

constexpr int kGood = 12;
constexpr int kOrders = 25;
constexpr auto kSoon = std::chrono::seconds(40);
// On a machine that the abusers share; without them an order takes milliseconds.
constexpr auto kOrderLimit = std::chrono::seconds(5);
#ifdef __SANITIZE_ADDRESS__
constexpr double kMostGrowthMiB =
    1000;  // AddressSanitizer keeps 256 MiB of what was freed, and fences around all of it
#else
constexpr double kMostGrowthMiB = 300;
#endif

double ResidentMiB(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// A control plane with the limits that it has by default, and sensors that behave.
struct Victims {
  Cluster cluster{{.replicas = 1, .heartbeat_interval = "1s", .more_arguments = {}, .database = ""}};
  std::vector<SimIdentity> bad = EnrollSensors(cluster.OperatorChannel(0), "bad-", 6);
  History history;
  SimOptions options;
  std::unique_ptr<SimFleet> fleet;
  std::unique_ptr<v1::SensorService::Stub> stub = v1::SensorService::NewStub(cluster.OperatorChannel(0));

  Victims() {
    options.servers = {cluster.address(0)};
    options.answer_limit = std::chrono::seconds(10);
    fleet =
        std::make_unique<SimFleet>(&options, EnrollSensors(cluster.OperatorChannel(0), "good-", kGood), &history, 1);
    REQUIRE(Eventually(kSoon, [&] { return fleet->counts().connected == kGood; }));
  }

  // One order to each of a few sensors in turn; the longest until the host had it.
  std::chrono::milliseconds WorstOrder() {
    std::chrono::milliseconds worst{0};
    for (int i = 0; i < kOrders; ++i) {
      v1::BlockBinaryRequest request;
      request.set_sensor(fleet->identity(static_cast<size_t>(i % kGood)).sensor_id);
      request.set_request_id(NewUuid());
      request.mutable_binary()->set_path("/opt/app/" + request.request_id());
      v1::BlockBinaryResponse response;
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kSoon);
      const auto ordered = Clock::now();
      const grpc::Status status = stub->BlockBinary(&context, request, &response);
      INFO(status.error_message());
      REQUIRE(status.ok());
      const auto has_it = [&] {
        const std::vector<Applied> applied = history.applied();
        return std::any_of(applied.rbegin(), applied.rend(), [&](const Applied& one) {
          return one.sensor_id == request.sensor() && one.enforced.blocked.contains(request.binary().path());
        });
      };
      REQUIRE(Eventually(kSoon, has_it));
      worst = std::max(worst, std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ordered));
    }
    return worst;
  }
};

// Runs one or more abusers beside the sensors and checks that these notice nothing.
template <typename Make>
void Withstand(const char* what, Make make) {
  Victims victims;
  const auto calm = victims.WorstOrder();
  const double before = ResidentMiB(victims.cluster.replica(0).pid());
  const auto began = Clock::now();
  const uint64_t beats = victims.fleet->counts().heartbeats_answered;
  std::vector<std::unique_ptr<Abuser>> abusers = make(victims);
  std::this_thread::sleep_for(std::chrono::seconds(5));
  const auto worst = victims.WorstOrder();
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  const double expected = seconds * kGood;
  const auto answered = static_cast<double>(victims.fleet->counts().heartbeats_answered - beats);
  const double grown = ResidentMiB(victims.cluster.replica(0).pid()) - before;
  uint64_t done = 0;
  for (const auto& abuser : abusers) done += abuser->done();
  WARN(what << ": " << done << " times in " << seconds << " s; longest order " << worst.count() << " ms (before "
            << calm.count() << "), heartbeats answered " << answered << " of " << expected << ", memory +" << grown
            << " MiB");
  INFO(victims.cluster.Logs());
  CHECK(done > 0);
  CHECK(worst < kOrderLimit);
  CHECK(answered > expected * 0.6);
  CHECK(victims.fleet->counts().streams_opened == kGood);  // nobody lost its stream
  CHECK(grown < kMostGrowthMiB);
  abusers.clear();
  CHECK(victims.cluster.replica(0).Running());
}

using Abusers = std::vector<std::unique_ptr<Abuser>>;

TEST_CASE("half-open TLS handshakes") {
  Withstand("half-open handshakes", [](Victims& victims) {
    Abusers abusers;
    abusers.push_back(HalfOpenHandshakes(victims.cluster, "127.0.0.3"));
    return abusers;
  });
}

TEST_CASE("a flood of hellos") {
  Withstand("flood of hellos", [](Victims& victims) {
    Abusers abusers;
    for (int i = 0; i < 4; ++i) abusers.push_back(HelloFlood(victims.cluster, "127.0.0.4", victims.bad[0]));
    return abusers;
  });
}

TEST_CASE("half-open streams") {
  Withstand("half-open streams", [](Victims& victims) {
    Abusers abusers;
    for (int i = 0; i < 4; ++i) abusers.push_back(HalfOpenStreams(victims.cluster, "127.0.0.5", victims.bad[i]));
    return abusers;
  });
}

TEST_CASE("giant messages") {
  Withstand("giant messages", [](Victims& victims) {
    Abusers abusers;
    for (int i = 0; i < 3; ++i) abusers.push_back(GiantMessages(victims.cluster, "127.0.0.6", victims.bad[i]));
    return abusers;
  });
}

TEST_CASE("readers that never read") {
  Withstand("slow readers", [](Victims& victims) {
    Abusers abusers;
    for (const SimIdentity& identity : victims.bad) {
      abusers.push_back(SlowReader(victims.cluster, "127.0.0.7", identity));
    }
    return abusers;
  });
}

TEST_CASE("connections beyond an address's share are refused, and the log says whose and how many") {
  Victims victims;
  const std::unique_ptr<Abuser> flood[] = {HalfOpenHandshakes(victims.cluster, "127.0.0.8"),
                                           HalfOpenHandshakes(victims.cluster, "127.0.0.8")};
  CHECK(Eventually(kSoon, [&] {
    return victims.cluster.ReplicaLog(0).find("address=\"127.0.0.8\" refused=") != std::string::npos;
  }));
  CHECK(victims.fleet->counts().streams_opened == kGood);
}

}  // namespace
}  // namespace bulkhead::e2e
