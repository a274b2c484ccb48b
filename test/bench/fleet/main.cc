// bulkhead-fleetsim: what N sensors cost a control plane, beside what they cost a server that only answers.
//
//   bulkhead-fleetsim [--sensors N] [--seconds N] [--heartbeat SECONDS] [--mode MODE] [--accept-rate N]
//
// MODE: steady (connect, beat, order), rules (an isolation rule for all), bulk (contain up to 1000 by selector), storm
// (the server is killed and started), or all, the default. Starts everything itself, prints figures and ends. The
// clients run on the same machine and take their share of it: read processor time per operation and ratios, not
// operations per second, and none of it beside somebody else's load (printed).
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "bench/fleet/beats.h"
#include "bench/fleet/orders.h"
#include "bench/fleet/raw_server.h"
#include "bench/fleet/usage.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::bench {
namespace {

using e2e::Clock;
using e2e::Cluster;
using e2e::Daemon;
using e2e::History;
using e2e::SimFleet;
using e2e::SimIdentity;
using e2e::SimOptions;

constexpr int kClientThreads = 1;
constexpr int kBulk = 1000;

struct RunOptions {
  int sensors = 500;
  int seconds = 10;
  int heartbeat = 0;         // seconds between two of a sensor, as the control plane tells it; 0: half of `seconds`
  int accept_rate = 100000;  // admission is for those who share a server; here it would be what is measured
  std::string mode = "all";

  int HeartbeatSeconds() const { return heartbeat > 0 ? heartbeat : std::max(1, seconds / 2); }
  bool Does(const std::string& what) const { return mode == "all" || mode == what; }
};

// The server goes and comes back: until the last sensor is welcome again.
struct Storm {
  double seconds = 0;
  double handshakes_per_core_second = 0;
};

// `restart` returns the pid of the server that is started.
Storm MeasureStorm(SimFleet& fleet, const std::function<pid_t()>& restart) {
  const pid_t server = restart();
  const auto began = Clock::now();
  const Usage before = UsageOf(server);
  // Those that have not noticed yet still count as connected.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  if (!WaitForConnected(fleet)) throw std::runtime_error("not every sensor came back");
  const double cpu = UsageOf(server).cpu_seconds - before.cpu_seconds;
  return {.seconds = Seconds(Clock::now() - began),
          .handshakes_per_core_second = static_cast<double>(fleet.size()) / cpu};
}

// 10 000 streams are as many descriptors on each side; the servers inherit this.
void RaiseDescriptorLimit(int sensors) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < static_cast<rlim_t>(sensors) + 500)
    throw std::runtime_error("at most " + std::to_string(limit.rlim_cur) + " open files are allowed here: ulimit -Hn");
}

struct RawFigures {
  Figures steady;
  Storm storm;
};

RawFigures MeasureRaw(const char* self, const Cluster& cluster, const std::vector<SimIdentity>& identities,
                      const RunOptions& run) {
  const int port = e2e::FreePort();
  const std::string tls = cluster.tls_directory(0);
  const auto start = [&] {
    auto server = std::make_unique<Daemon>(e2e::Arguments{self, "--raw-server", std::to_string(port), tls + "/key.pem",
                                                          tls + "/cert.pem", std::to_string(run.HeartbeatSeconds())},
                                           "/dev/null");
    std::this_thread::sleep_for(std::chrono::seconds(1));
    return server;
  };
  std::unique_ptr<Daemon> server = start();
  SimOptions options;
  options.servers = {"127.0.0.1:" + std::to_string(port)};
  options.answer_limit = std::chrono::seconds(60);
  History nothing;
  const Usage idle = UsageOf(server->pid());
  const auto began = Clock::now();
  SimFleet fleet(&options, identities, &nothing, 1, kClientThreads);
  RawFigures figures;
  figures.steady = MeasureBeats(fleet, server->pid(), idle, began, run.seconds);
  if (!run.Does("storm")) return figures;
  figures.storm = MeasureStorm(fleet, [&] {
    server->Kill();
    server = start();
    return server->pid();
  });
  return figures;
}

int Main(const char* self, const RunOptions& run) {
  RaiseDescriptorLimit(run.sensors);
  PrintLoad("before");
  const std::string rate = std::to_string(run.accept_rate);
  Cluster cluster({.replicas = 1,
                   .heartbeat_interval = std::to_string(run.HeartbeatSeconds()) + "s",
                   .more_arguments = {"--accept-rate", rate, "--accept-rate-per-address", rate},
                   .database = ""});
  auto began = Clock::now();
  const int bulk = std::min(run.sensors, kBulk);
  std::vector<SimIdentity> identities =
      e2e::EnrollSensors(cluster.OperatorChannel(0), "bulk-", bulk, {{"bulk", "yes"}});
  for (SimIdentity& identity : e2e::EnrollSensors(cluster.OperatorChannel(0), "sim-", run.sensors - bulk))
    identities.push_back(std::move(identity));
  printf("%d sensors enrolled, %.0f a second\n", run.sensors, run.sensors / Seconds(Clock::now() - began));
  const RawFigures raw = MeasureRaw(self, cluster, identities, run);

  SimOptions options;
  options.servers = {cluster.address(0)};
  options.answer_limit = std::chrono::seconds(60);
  History history;
  const Usage idle = UsageOf(cluster.replica(0).pid());
  began = Clock::now();
  SimFleet fleet(&options, identities, &history, 1, kClientThreads);
  const Figures ours = MeasureBeats(fleet, cluster.replica(0).pid(), idle, began, run.seconds);
  PrintBeats(cluster, ours, raw.steady);
  if (run.Does("steady")) MeasureOrders(cluster, fleet, history);
  if (run.Does("bulk")) MeasureBulk(cluster);
  if (run.Does("rules")) MeasureRules(cluster, fleet, history, raw.steady.cpu_micros_per_message);
  if (run.Does("storm")) {
    const Storm storm = MeasureStorm(fleet, [&] {
      cluster.replica(0).Kill();
      cluster.StartReplica(0);
      return cluster.replica(0).pid();
    });
    Print("storm: seconds until all are back", storm.seconds, raw.storm.seconds);
    Print("storm: handshakes a second of a core", storm.handshakes_per_core_second,
          raw.storm.handshakes_per_core_second);
  }
  PrintLoad("after");
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  using namespace bulkhead::bench;  // NOLINT: this is its main
  RunOptions run;
  // A run takes minutes; what it found so far is to be seen in a file, too.
  setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    // As the control plane does; see its main.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    if (argc == 6 && std::string(argv[1]) == "--raw-server")
      return RunRawServer(std::stoi(argv[2]), argv[3], argv[4], /*heartbeat_seconds=*/std::stoi(argv[5]));
    for (int i = 1; i + 1 < argc; i += 2) {
      const std::string name = argv[i], value = argv[i + 1];
      if (name == "--sensors") {
        run.sensors = std::stoi(value);
      } else if (name == "--seconds") {
        run.seconds = std::stoi(value);
      } else if (name == "--heartbeat") {
        run.heartbeat = std::stoi(value);
      } else if (name == "--accept-rate") {
        run.accept_rate = std::stoi(value);
      } else if (name == "--mode") {
        run.mode = value;
      } else {
        throw std::invalid_argument("unknown option " + name);
      }
    }
    const std::string modes[] = {"all", "steady", "rules", "bulk", "storm"};
    const bool known = std::find(std::begin(modes), std::end(modes), run.mode) != std::end(modes);
    if (argc % 2 == 0 || run.sensors < 1 || run.seconds < 1 || run.heartbeat < 0 || run.accept_rate < 1 || !known)
      throw std::invalid_argument("see the head of test/bench/fleet/main.cc");
    return Main("/proc/self/exe", run);
  } catch (const std::exception& error) {
    std::cerr << "bulkhead-fleetsim: " << error.what() << "\n";
    return 1;
  }
}
