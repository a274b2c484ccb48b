// bulkhead-faults: a real fleet under random faults, and the verdict over what was recorded.
//
//   bulkhead-faults [--seconds N] [--seed N] [--sensors N] [--plant KIND]
//
// Exit status 0: every promise was kept, or, with --plant, the planted mistake was found. KIND: one of Plants() below.
#include <grpc/grpc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "e2e/faults/checker.h"
#include "e2e/faults/injector.h"
#include "e2e/faults/operators.h"
#include "e2e/faults/witness.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kSettleLimit = std::chrono::seconds(90);
// With a planted mistake it may never settle, and need not.
constexpr auto kPlantedSettleLimit = std::chrono::seconds(10);

// A mistake that can be planted, in the hosts or in the database after the run, and what the verdict must say about it.
struct Plant {
  Planted mistake = Planted::kNone;
  std::string sql;
  std::string complaint;

  bool any() const { return mistake != Planted::kNone || !sql.empty(); }
};

struct RunOptions {
  int seconds = 60;
  uint64_t seed = 1;
  int sensors = 24;
  Plant planted;
};

const std::map<std::string, Plant>& Plants() {
  // Without the triggers that forbid it.
  static const std::string kForce = "SET session_replication_role = replica; ";
  static const std::map<std::string, Plant> plants = {
      {"forgets-kills", {Planted::kForgetsKills, "", " times"}},
      {"drops-orders", {Planted::kDropsOrders, "", "an order is lost"}},
      {"invents-state", {Planted::kInventsState, "", "ordered was"}},
      {"loses-results", {Planted::kLosesLateResults, "", "has no end"}},
      {"ignores-sent-at", {Planted::kIgnoresSentAt, "", "its lease lasts"}},
      {"hides-record",
       {Planted::kNone, kForce + "DELETE FROM audit_log WHERE sequence = (SELECT max(sequence) - 3 FROM audit_log)",
        "has 0 audit records"}},
      {"invents-record",
       {Planted::kNone,
        kForce +
            "INSERT INTO audit_log SELECT sequence + 1, recorded_at, actor, 'sensor_isolated', target, 'r', outcome,"
            " details, hash FROM audit_log ORDER BY sequence DESC LIMIT 1",
        "audit record without its order"}},
      {"rewrites-record",
       {Planted::kNone, kForce + "UPDATE audit_log SET actor = 'mallory' WHERE sequence = 30",
        "the audit chain is broken"}},
      {"changes-silently",
       {Planted::kNone, "UPDATE sensors SET desired_generation = desired_generation + 1 WHERE name = 'sim-0'",
        "ends at another generation"}},
      {"loses-command",
       {Planted::kNone, "DELETE FROM commands WHERE id = (SELECT id FROM commands ORDER BY created_at LIMIT 1)",
        "has no end"}},
  };
  return plants;
}

bool Parse(int argc, char** argv, RunOptions* out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--seconds") {
      out->seconds = std::atoi(value.c_str());
    } else if (name == "--seed") {
      out->seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "--sensors") {
      out->sensors = std::atoi(value.c_str());
    } else if (name == "--plant" && Plants().contains(value)) {
      out->planted = Plants().at(value);
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && out->seconds > 0 && out->sensors > 0;
}

// Runs the fleet and returns everything that was recorded.
Evidence Record(Cluster& cluster, const RunOptions& run) {
  SimOptions options;
  for (int i = 0; i < cluster.size(); ++i) options.servers.push_back(cluster.sensor_address(i));
  options.dies_over_kill = 0.2;
  options.planted = run.planted.mistake;
  History history;
  SimFleet fleet(&options, EnrollSensors(cluster.OperatorChannel(0), "sim-", run.sensors), &history, run.seed);
  std::vector<std::string> ids;
  for (size_t i = 0; i < fleet.size(); ++i) ids.push_back(fleet.identity(i).sensor_id);
  Evidence evidence;
  {
    Operators operators(cluster, ids, run.seed);
    Injector injector(cluster, fleet, run.seed);
    injector.Run(std::chrono::seconds(run.seconds));
    operators.Stop();
    evidence.orders = operators.orders();
    evidence.complaints = operators.complaints();
    for (const auto& [kind, count] : injector.made()) std::cout << kind << ": " << count << "\n";
    std::cout << "orders: " << evidence.orders.size() << ", calls repeated: " << operators.repeated() << "\n";
  }
  if (!run.planted.sql.empty()) {
    const Result planted = cluster.postgres().Query(run.planted.sql);
    if (planted.exit_code != 0) throw std::runtime_error("planting failed: " + planted.err);
  }
  // A mistake that was planted keeps the fleet from settling; the verdict does not depend on it.
  if (!Witness(cluster).Settle(&evidence, run.planted.any() ? kPlantedSettleLimit : kSettleLimit))
    std::cout << "the fleet did not settle\n";
  evidence.applied = history.applied();
  evidence.killed = history.killed();
  std::cout << "generations applied: " << evidence.applied.size() << ", processes killed: " << evidence.killed.size()
            << ", streams opened: " << fleet.counts().streams_opened << "\n";
  return evidence;
}

int Main(const RunOptions& run) {
  Cluster cluster({.replicas = 2, .heartbeat_interval = "1s", .more_arguments = {}, .database = "", .wires = true});
  const Evidence evidence = Record(cluster, run);
  const std::vector<std::string> problems = Check(evidence);
  for (size_t i = 0; i < problems.size() && i < 20; ++i) std::cout << "BROKEN: " << problems[i] << "\n";
  std::cout << problems.size() << " broken promises, seed " << run.seed << "\n";
  if (run.planted.any()) {
    const auto says_so = [&](const std::string& problem) {
      return problem.find(run.planted.complaint) != std::string::npos;
    };
    return std::any_of(problems.begin(), problems.end(), says_so) ? 0 : 1;
  }
  if (!problems.empty()) std::cout << cluster.Logs();
  // A run in which nothing happened proves nothing.
  return problems.empty() && !evidence.orders.empty() && !evidence.killed.empty() ? 0 : 1;
}

}  // namespace
}  // namespace bulkhead::e2e

namespace {

// gRPC tidies up on threads of its own after its last channel is gone; what it had not got to at exit was told as a
// leak.
class GrpcLibrary {
 public:
  GrpcLibrary() { grpc_init(); }
  ~GrpcLibrary() { grpc_shutdown_blocking(); }
  GrpcLibrary(const GrpcLibrary&) = delete;
  GrpcLibrary& operator=(const GrpcLibrary&) = delete;
};

}  // namespace

int main(int argc, char** argv) {
  const GrpcLibrary grpc;
  bulkhead::e2e::RunOptions options;
  if (!bulkhead::e2e::Parse(argc, argv, &options)) {
    std::cerr << "usage: bulkhead-faults [--seconds N] [--seed N] [--sensors N] [--plant KIND]\n";
    return 2;
  }
  std::cout << std::unitbuf;
  try {
    return bulkhead::e2e::Main(options);
  } catch (const std::exception& error) {
    std::cerr << "bulkhead-faults: " << error.what() << "\n";
    return 1;
  }
}
