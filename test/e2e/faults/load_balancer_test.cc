// Two replicas behind HAProxy as deploy/haproxy sets it up: a rolling restart under orders drops nothing.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "e2e/faults/front.h"
#include "e2e/faults/trial.h"
#include "e2e/sandbox.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kSoon = std::chrono::seconds(40);

struct Fronted {
  std::string directory = MakeTempDirectory();
  Cluster cluster;
  LoadBalancer balancer;

  Fronted()
      : cluster({.replicas = 2,
                 .heartbeat_interval = "1s",
                 .more_arguments = {"--accept-rate-per-address", "150"},
                 .database = ""}),
        balancer(directory, cluster.address(0), cluster.address(1), cluster.trust_bundle()) {}
  ~Fronted() {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  Trial::Options Options() const {
    return {.sensors = 24, .servers = {balancer.address()}, .operator_servers = {balancer.address()}, .seed = 1};
  }
  bool WaitForStatus(const std::string& server, const std::string& status) const {
    return Eventually(kSoon, [&] { return balancer.StatusOf(server).rfind(status, 0) == 0; });
  }
  // bulkheadctl as the administrator, through the load balancer.
  Result Ctl(Arguments arguments) const {
    const std::filesystem::path config = cluster.operator_config();
    const std::string ours = (config.parent_path() / "balanced.yaml").string();
    std::ifstream in(config);
    std::ofstream out(ours);
    for (std::string line; std::getline(in, line);)
      out << (line.rfind("server:", 0) == 0 ? "server: \"" + balancer.address() + "\"" : line) << "\n";
    out.close();
    arguments.insert(arguments.begin(), {Program("bulkheadctl"), "--config", ours});
    return Run(arguments);
  }
};

TEST_CASE("all replicas are restarted one after the other under orders: each order reaches its sensor, once") {
  Fronted fronted;
  Trial trial(fronted.cluster, fronted.Options());
  REQUIRE(trial.WaitForConnected(kSoon));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 2; ++i) {
      const size_t before = trial.orders();
      CHECK(fronted.cluster.replica(i).Stop() == 0);
      std::this_thread::sleep_for(std::chrono::seconds(1));
      const Result listed = fronted.Ctl({"sensor", "list"});
      INFO(listed.err);
      CHECK(listed.exit_code == 0);
      fronted.cluster.StartReplica(i);
      REQUIRE(fronted.WaitForStatus(i == 0 ? "cp1" : "cp2", "UP"));
      CHECK(trial.orders() > before + 10);
    }
  }
  INFO(fronted.cluster.Logs());
  CHECK(trial.Verdict() == "");
  WARN(trial.orders() << " orders, " << trial.repeated() << " calls repeated, connections to the replicas: "
                      << fronted.balancer.SessionsOf("cp1") << " and " << fronted.balancer.SessionsOf("cp2"));
  CHECK(fronted.balancer.SessionsOf("cp1") > 0);
  CHECK(fronted.balancer.SessionsOf("cp2") > 0);
  const Result contained = fronted.Ctl({"sensor", "isolate", "sim-0", "--reason", "INC-1", "--wait"});
  INFO(contained.err);
  CHECK(contained.exit_code == 0);
}

TEST_CASE("a replica is left out while it is down, hangs, or has no database; and taken back") {
  Fronted fronted;
  fronted.cluster.replica(0).Kill();
  CHECK(fronted.WaitForStatus("cp1", "DOWN"));
  CHECK(fronted.balancer.StatusOf("cp2") == "UP");
  fronted.cluster.StartReplica(0);
  CHECK(fronted.WaitForStatus("cp1", "UP"));

  kill(fronted.cluster.replica(1).pid(), SIGSTOP);  // accepts by its backlog, answers nothing
  CHECK(fronted.WaitForStatus("cp2", "DOWN"));
  kill(fronted.cluster.replica(1).pid(), SIGCONT);
  CHECK(fronted.WaitForStatus("cp2", "UP"));

  fronted.cluster.postgres().Kill();
  CHECK(fronted.WaitForStatus("cp1", "DOWN"));
  CHECK(fronted.WaitForStatus("cp2", "DOWN"));
  fronted.cluster.postgres().Start();
  CHECK(fronted.WaitForStatus("cp1", "UP"));
  CHECK(fronted.WaitForStatus("cp2", "UP"));
}

}  // namespace
}  // namespace bulkhead::e2e
