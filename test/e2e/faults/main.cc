// bulkhead-faults: a real fleet under random faults, and the verdict over what was recorded.
//
//   bulkhead-faults [--seconds N] [--seed N] [--sensors N] [--plant KIND]
//
// Exit status 0: every promise was kept, or, with --plant, the planted mistake was found. KIND: forgets-kills,
// drops-orders, invents-state, loses-results.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "bulkhead/v1/audit.grpc.pb.h"
#include "e2e/faults/checker.h"
#include "e2e/faults/injector.h"
#include "e2e/faults/operators.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {
namespace {

constexpr auto kSettleLimit = std::chrono::seconds(90);
// With a planted mistake it may never settle, and need not.
constexpr auto kPlantedSettleLimit = std::chrono::seconds(10);
constexpr int kPage = 500;
constexpr int kReads = 5;

// A mistake that can be planted, and what the verdict must say about it.
struct Plant {
  Planted mistake = Planted::kNone;
  std::string complaint;
};

struct RunOptions {
  int seconds = 60;
  uint64_t seed = 1;
  int sensors = 24;
  Plant planted;
};

const std::map<std::string, Plant>& Plants() {
  static const std::map<std::string, Plant> plants = {{"forgets-kills", {Planted::kForgetsKills, " times"}},
                                                      {"drops-orders", {Planted::kDropsOrders, "an order is lost"}},
                                                      {"invents-state", {Planted::kInventsState, "ordered was"}},
                                                      {"loses-results", {Planted::kLosesLateResults, "has no end"}}};
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

template <typename Stub, typename Request, typename Response>
bool Ask(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
         const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  response->Clear();
  const grpc::Status status = (stub.*method)(&context, request, response);
  static std::string last_error;
  if (!status.ok() && status.error_message() != last_error)
    std::cout << "asking the control plane: " << (last_error = status.error_message()) << "\n";
  return status.ok();
}

// What the control plane says in the end, asked through its API.
class Witness {
 public:
  explicit Witness(const Cluster& cluster)
      : sensors_(v1::SensorService::NewStub(cluster.OperatorChannel(0))),
        audit_(v1::AuditService::NewStub(cluster.OperatorChannel(1))) {}

  // True once every sensor is connected and synced and every command has an end; the evidence is complete either way.
  bool Settle(Evidence* evidence, std::chrono::seconds within) {
    const auto limit = Clock::now() + within;
    while (!Look(evidence) && Clock::now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    ReadAudit(evidence);
    return Clock::now() < limit;
  }

 private:
  bool Look(Evidence* evidence) {
    bool settled = true;
    v1::ListSensorsRequest list;
    list.set_page_size(kPage);
    v1::ListSensorsResponse page;
    do {
      if (!Ask(*sensors_, &v1::SensorService::Stub::ListSensors, list, &page)) return false;
      for (const v1::Sensor& sensor : page.sensors()) {
        const bool synced = sensor.convergence() == v1::CONVERGENCE_STATE_SYNCED;
        settled = settled && synced && sensor.connected();
        evidence->sensors[sensor.id()] = {.generation = sensor.desired_generation(),
                                          .digest = sensor.desired_digest(),
                                          .connected = sensor.connected(),
                                          .synced = synced};
      }
      list.set_page_token(page.next_page_token());
    } while (!page.next_page_token().empty());
    for (const GivenOrder& order : evidence->orders) {
      FinalCommand& end = evidence->commands[order.command_id];
      if (order.command_id.empty() || end != FinalCommand::kOpen) continue;
      v1::GetCommandRequest get;
      get.set_id(order.command_id);
      v1::GetCommandResponse got;
      if (!Ask(*sensors_, &v1::SensorService::Stub::GetCommand, get, &got)) return false;
      const v1::CommandState state = got.command().state();
      end = state == v1::COMMAND_STATE_SUCCEEDED ? FinalCommand::kSucceeded
            : state == v1::COMMAND_STATE_FAILED  ? FinalCommand::kFailed
            : state == v1::COMMAND_STATE_EXPIRED ? FinalCommand::kExpired
                                                 : FinalCommand::kOpen;
      settled = settled && end != FinalCommand::kOpen;
    }
    return settled;
  }

  void ReadAudit(Evidence* evidence) {
    v1::ListAuditRecordsRequest list;
    list.set_page_size(kPage);
    v1::ListAuditRecordsResponse page;
    do {
      bool read = false;
      for (int i = 0; i < kReads && !read; ++i)
        read = Ask(*audit_, &v1::AuditService::Stub::ListAuditRecords, list, &page);
      if (!read) return evidence->complaints.push_back("the audit log could not be read");
      for (const v1::AuditRecord& record : page.records()) {
        // Enrollment is not under test here.
        if (record.target().rfind("sensor/", 0) != 0 || record.action() == "sensor_enrolled") continue;
        evidence->audit.push_back({record.action(), record.target(), record.request_id(), record.outcome()});
      }
      list.set_page_token(page.next_page_token());
    } while (!page.next_page_token().empty());
    v1::VerifyAuditLogResponse verified;
    if (!Ask(*audit_, &v1::AuditService::Stub::VerifyAuditLog, v1::VerifyAuditLogRequest(), &verified) ||
        !verified.intact()) {
      evidence->complaints.push_back("the audit chain is broken: " + verified.problem());
    }
  }

  std::unique_ptr<v1::SensorService::Stub> sensors_;
  std::unique_ptr<v1::AuditService::Stub> audit_;
};

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
  // A mistake that was planted keeps the fleet from settling; the verdict does not depend on it.
  if (!Witness(cluster).Settle(&evidence, run.planted.mistake == Planted::kNone ? kSettleLimit : kPlantedSettleLimit))
    std::cout << "the fleet did not settle\n";
  evidence.applied = history.applied();
  evidence.killed = history.killed();
  std::cout << "generations applied: " << evidence.applied.size() << ", processes killed: " << evidence.killed.size()
            << ", streams opened: " << fleet.counts().streams_opened << "\n";
  return evidence;
}

int Main(const RunOptions& run) {
  Cluster cluster({});
  const Evidence evidence = Record(cluster, run);
  const std::vector<std::string> problems = Check(evidence);
  for (size_t i = 0; i < problems.size() && i < 20; ++i) std::cout << "BROKEN: " << problems[i] << "\n";
  std::cout << problems.size() << " broken promises, seed " << run.seed << "\n";
  if (run.planted.mistake != Planted::kNone) {
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

int main(int argc, char** argv) {
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
