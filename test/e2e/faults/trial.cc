// A fleet of simulated sensors and operators who keep giving orders, while a test does something to the system between.
#include "e2e/faults/trial.h"

#include <utility>

#include "e2e/faults/witness.h"

namespace bulkhead::e2e {

Trial::Trial(Cluster& cluster, Options options) : cluster_(cluster) {
  std::vector<std::string> direct;
  for (int i = 0; i < cluster.size(); ++i) direct.push_back(cluster.address(i));
  sim_options_.servers = options.servers.empty() ? direct : options.servers;
  const std::vector<std::string> asked = options.operator_servers.empty() ? direct : options.operator_servers;
  fleet_ = std::make_unique<SimFleet>(&sim_options_, EnrollSensors(cluster.OperatorChannel(0), "sim-", options.sensors),
                                      &history_, options.seed);
  std::vector<std::string> ids;
  for (size_t i = 0; i < fleet_->size(); ++i) ids.push_back(sensor_id(i));
  const auto channels = [&cluster, asked] {
    std::vector<std::shared_ptr<grpc::Channel>> made;
    for (const std::string& address : asked) made.push_back(cluster.OperatorChannel(address));
    return made;
  };
  operators_ = std::make_unique<Operators>(channels, std::move(ids), options.seed);
}

bool Trial::WaitForConnected(std::chrono::seconds limit) const {
  return Eventually(limit, [this] { return fleet_->counts().connected == fleet_->size(); });
}

std::string Trial::Verdict(std::chrono::seconds settle_within) {
  operators_->Stop();
  Evidence evidence;
  evidence.orders = operators_->orders();
  evidence.complaints = operators_->complaints();
  Witness(cluster_).Settle(&evidence, settle_within);
  evidence.applied = history_.applied();
  evidence.killed = history_.killed();
  if (evidence.orders.empty()) evidence.complaints.push_back("no order was given: this proves nothing");
  std::string text;
  for (const std::string& problem : Check(evidence)) text += problem + "\n";
  return text;
}

}  // namespace bulkhead::e2e
