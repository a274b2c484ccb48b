// bulkhead-fleetsim: what N sensors cost a control plane, beside what they cost a server that only answers.
//
//   bulkhead-fleetsim [--sensors N] [--seconds N]
//
// Starts everything itself, prints figures and ends. The clients run on the same machine and take their share of it:
// read processor time per operation and ratios, not operations per second.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>

#include "bulkhead/v1/rollout_service.grpc.pb.h"
#include "bulkhead/v1/sensor_service.grpc.pb.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/raw_server.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kConnectLimit = std::chrono::seconds(300);
constexpr auto kOrderLimit = std::chrono::seconds(10);
constexpr int kOrders = 300;
constexpr int kClientThreads = 1;

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// What a process used so far.
struct Usage {
  double cpu_seconds = 0;
  double resident_kib = 0;
};

Usage UsageOf(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream stat(proc + "/stat"), statm(proc + "/statm");
  std::string word;
  // utime and stime are fields 14 and 15; no name of ours holds a space.
  double user = 0, system = 0;
  for (int i = 1; i <= 13; ++i) stat >> word;
  stat >> user >> system;
  double total = 0, resident = 0;
  statm >> total >> resident;
  return {(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)),
          resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024};
}

double Percentile(std::vector<double> values, int percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) * percent / 100];
}

struct Figures {
  double kib_per_stream = 0;
  double connects_per_second = 0;
  double cpu_millis_per_connect = 0;
  double messages_per_second = 0;
  double cpu_micros_per_message = 0;
  double round_trip_p50 = 0, round_trip_p99 = 0;  // milliseconds, paced
};

bool WaitForConnected(const SimFleet& fleet) {
  const auto limit = Clock::now() + kConnectLimit;
  while (fleet.counts().connected < fleet.size() && Clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return fleet.counts().connected == fleet.size();
}

// Connects the fleet, lets it beat at its own pace, then as fast as answers come.
Figures Measure(SimFleet& fleet, pid_t server, const Usage& idle, Clock::time_point began, int seconds) {
  Figures figures;
  const auto count = static_cast<double>(fleet.size());
  if (!WaitForConnected(fleet))
    throw std::runtime_error("only " + std::to_string(fleet.counts().connected) + " sensors connected");
  figures.connects_per_second = count / Seconds(Clock::now() - began);
  const Usage connected = UsageOf(server);
  figures.cpu_millis_per_connect = (connected.cpu_seconds - idle.cpu_seconds) * 1e3 / count;
  figures.kib_per_stream = (connected.resident_kib - idle.resident_kib) / count;

  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  std::mutex mutex;
  std::vector<double> millis;
  fleet.PostToAll([&](SimSensor& sensor) {
    const std::lock_guard lock(mutex);
    for (const uint32_t micros : sensor.TakeRoundTrips()) millis.push_back(micros / 1e3);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  {
    const std::lock_guard lock(mutex);
    figures.round_trip_p50 = Percentile(millis, 50);
    figures.round_trip_p99 = Percentile(millis, 99);
  }

  fleet.PostToAll([](SimSensor& sensor) { sensor.Flood(true); });
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const Usage before = UsageOf(server);
  const uint64_t answered_before = fleet.counts().heartbeats_answered;
  const auto flood_began = Clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const auto answered = static_cast<double>(fleet.counts().heartbeats_answered - answered_before);
  figures.messages_per_second = answered / Seconds(Clock::now() - flood_began);
  figures.cpu_micros_per_message = (UsageOf(server).cpu_seconds - before.cpu_seconds) * 1e6 / answered;
  fleet.PostToAll([](SimSensor& sensor) { sensor.Flood(false); });
  std::this_thread::sleep_for(std::chrono::seconds(1));
  return figures;
}

// One order at a time, each to another sensor: from the operator's call until the host has it in force.
void MeasureOrders(const Cluster& cluster, const SimFleet& fleet, const History& history) {
  const auto stub = v1::SensorService::NewStub(cluster.OperatorChannel(0));
  std::mt19937_64 random(1);
  std::vector<double> millis;
  for (int i = 0; i < kOrders; ++i) {
    v1::ContainSensorRequest request;
    request.set_sensor(fleet.identity(random() % fleet.size()).sensor_id);
    v1::ContainSensorResponse response;
    grpc::ClientContext context;
    const size_t seen = history.applied().size();
    const auto began = Clock::now();
    context.set_deadline(std::chrono::system_clock::now() + kOrderLimit);
    const grpc::Status status = stub->ContainSensor(&context, request, &response);
    if (!status.ok()) throw std::runtime_error("an order was refused: " + status.error_message());
    if (response.already_contained()) continue;
    const auto in_force = [&]() -> const Applied* {
      static std::vector<Applied> applied;
      applied = history.applied();
      for (size_t at = seen; at < applied.size(); ++at) {
        if (applied[at].sensor_id == request.sensor() && applied[at].enforced.contained) return &applied[at];
      }
      return nullptr;
    };
    const Applied* applied = in_force();
    for (; applied == nullptr && Clock::now() - began < kOrderLimit; applied = in_force())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (applied == nullptr) throw std::runtime_error("an order did not reach its host");
    millis.push_back(Seconds(applied->when - began) * 1e3);
  }
  printf("%-46s p50 %.2f  p99 %.2f  n=%zu\n", "order -> in force on the host, ms", Percentile(millis, 50),
         Percentile(millis, 99), millis.size());
}

// One order for the whole fleet, without limits worth the name: from the operator's call until every host enforces it.
void MeasureRollout(const Cluster& cluster, const SimFleet& fleet) {
  const auto stub = v1::RolloutService::NewStub(cluster.OperatorChannel(0));
  v1::CreateRolloutRequest request;
  request.set_all_sensors(true);
  request.mutable_order()->mutable_isolate();
  request.mutable_limits()->set_max_in_flight(1000);
  v1::CreateRolloutResponse created;
  grpc::ClientContext create_context;
  const auto began = Clock::now();
  const grpc::Status status = stub->CreateRollout(&create_context, request, &created);
  if (!status.ok()) throw std::runtime_error("a rollout was refused: " + status.error_message());
  v1::WatchRolloutRequest watch;
  watch.set_id(created.rollout().id());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kConnectLimit);
  const auto reader = stub->WatchRollout(&context, watch);
  v1::WatchRolloutResponse now;
  while (reader->Read(&now)) {
  }
  reader->Finish();
  const double seconds = Seconds(Clock::now() - began);
  printf("%-46s %.1f s, %.0f a second, %u of %zu enforced\n", "rollout: isolate every sensor", seconds,
         now.rollout().enforced() / seconds, now.rollout().enforced(), fleet.size());
}

// Rows a second of the plainest batched upsert, one statement a thousand rows.
double PlainSqlRows(const Postgres& postgres) {
  constexpr int kStatements = 100, kRows = 1000;
  postgres.Query("CREATE TABLE yardstick (id integer PRIMARY KEY, seq bigint, at timestamptz) WITH (fillfactor = 60)");
  const auto began = Clock::now();
  const Result done =
      postgres.Query("DO $$ DECLARE ids integer[] := array(SELECT generate_series(1, " + std::to_string(kRows) +
                     ")); BEGIN FOR i IN 1.." + std::to_string(kStatements) +
                     " LOOP INSERT INTO yardstick SELECT id, i, now() FROM unnest(ids) AS id"
                     " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, at = excluded.at; COMMIT; END "
                     "LOOP; END $$");
  if (done.exit_code != 0) throw std::runtime_error("the plain upsert failed: " + done.err);
  return kStatements * kRows / Seconds(Clock::now() - began);
}

void Print(const char* what, double ours, double raw) {
  printf("%-46s %12.1f   yardstick %12.1f   ratio %.2f\n", what, ours, raw, raw == 0 ? 0 : ours / raw);
}

Figures MeasureRaw(const char* self, const Cluster& cluster, const std::vector<SimIdentity>& identities, int seconds) {
  const int port = FreePort();
  const std::string tls = cluster.tls_directory(0);
  Daemon server({self, "--raw-server", std::to_string(port), tls + "/key.pem", tls + "/cert.pem"}, "/dev/null");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  SimOptions options;
  options.servers = {"127.0.0.1:" + std::to_string(port)};
  options.answer_limit = std::chrono::seconds(60);
  History nothing;
  const Usage idle = UsageOf(server.pid());
  const auto began = Clock::now();
  SimFleet fleet(&options, identities, &nothing, 1, kClientThreads);
  return Measure(fleet, server.pid(), idle, began, seconds);
}

int Main(const char* self, int sensors, int seconds) {
  // Admission is for those who share a server; here it would be what is measured.
  Cluster cluster({.replicas = 1,
                   .heartbeat_interval = std::to_string(std::max(1, seconds / 2)) + "s",
                   .more_arguments = {"--accept-rate", "100000", "--accept-rate-per-address", "100000"}});
  auto began = Clock::now();
  const std::vector<SimIdentity> identities = EnrollSensors(cluster.OperatorChannel(0), "sim-", sensors);
  printf("%d sensors enrolled, %.0f a second\n", sensors, sensors / Seconds(Clock::now() - began));
  const Figures raw = MeasureRaw(self, cluster, identities, seconds);

  SimOptions options;
  options.servers = {cluster.address(0)};
  options.answer_limit = std::chrono::seconds(60);
  History history;
  const Usage idle = UsageOf(cluster.replica(0).pid());
  began = Clock::now();
  SimFleet fleet(&options, identities, &history, 1, kClientThreads);
  const auto rows = [&] { return std::stod(cluster.postgres().Query("SELECT count(*) FROM heartbeats").out); };
  const Figures ours = Measure(fleet, cluster.replica(0).pid(), idle, began, seconds);
  Print("memory of a stream, KiB", ours.kib_per_stream, raw.kib_per_stream);
  Print("streams opened a second", ours.connects_per_second, raw.connects_per_second);
  Print("server's processor for opening one, ms", ours.cpu_millis_per_connect, raw.cpu_millis_per_connect);
  Print("heartbeats answered a second", ours.messages_per_second, raw.messages_per_second);
  Print("server's processor for a heartbeat, us", ours.cpu_micros_per_message, raw.cpu_micros_per_message);
  Print("heartbeat -> answer at their own pace, p50 ms", ours.round_trip_p50, raw.round_trip_p50);
  Print("heartbeat -> answer at their own pace, p99 ms", ours.round_trip_p99, raw.round_trip_p99);
  Print("heartbeat rows a second (plain: unnest 1000)", ours.messages_per_second, PlainSqlRows(cluster.postgres()));
  printf("%-46s %12.0f\n", "heartbeat rows in the database", rows());
  MeasureOrders(cluster, fleet, history);
  MeasureRollout(cluster, fleet);
  return 0;
}

}  // namespace
}  // namespace bulkhead::e2e

int main(int argc, char** argv) {
  using namespace bulkhead::e2e;  // NOLINT: this is its main
  int sensors = 500, seconds = 10;
  try {
    if (argc == 5 && std::string(argv[1]) == "--raw-server")
      return RunRawServer(std::stoi(argv[2]), argv[3], argv[4], /*heartbeat_seconds=*/5);
    for (int i = 1; i + 1 < argc; i += 2) {
      const std::string name = argv[i];
      if (name == "--sensors") {
        sensors = std::stoi(argv[i + 1]);
      } else if (name == "--seconds") {
        seconds = std::stoi(argv[i + 1]);
      } else {
        throw std::invalid_argument("unknown option " + name);
      }
    }
    if (argc % 2 == 0 || sensors < 1 || seconds < 1) throw std::invalid_argument("see the head of fleetsim.cc");
    return Main("/proc/self/exe", sensors, seconds);
  } catch (const std::exception& error) {
    std::cerr << "bulkhead-fleetsim: " << error.what() << "\n";
    return 1;
  }
}
