// A fleet of simulated sensors and operators who keep giving orders, while a test does something to the system between.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "e2e/faults/checker.h"
#include "e2e/faults/operators.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {

class Trial {
 public:
  struct Options {
    int sensors = 16;
    std::vector<std::string> servers;           // where sensors connect; empty: to every replica
    std::vector<std::string> operator_servers;  // the same for operators
    uint64_t seed = 1;
  };
  // Enrolls and starts; `cluster` outlives it.
  Trial(Cluster& cluster, Options options);
  // Returns once every sensor is connected.
  bool WaitForConnected(std::chrono::seconds limit) const;

  // Orders that were answered so far.
  size_t orders() const { return operators_->orders().size(); }
  uint64_t repeated() const { return operators_->repeated(); }
  SimFleet& fleet() { return *fleet_; }
  const History& history() const { return history_; }
  std::string sensor_id(size_t i) const { return fleet_->identity(i).sensor_id; }

  // Ends the orders, lets the fleet settle, and returns the promises that were broken, one on a line.
  std::string Verdict(std::chrono::seconds settle_within = std::chrono::seconds(60));

 private:
  Cluster& cluster_;
  SimOptions sim_options_;
  History history_;
  std::unique_ptr<SimFleet> fleet_;
  std::unique_ptr<Operators> operators_;
};

}  // namespace bulkhead::e2e
