// Breaks things at random and mends them again. The same seed breaks the same things in the same order.
#pragma once

#include <chrono>
#include <map>
#include <random>
#include <string>

#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::e2e {

// Not thread safe. Used from the main thread: a process that is started gets a signal when the thread that started it
// ends.
class Injector {
 public:
  Injector(Cluster& cluster, SimFleet& fleet, uint64_t seed) : cluster_(cluster), fleet_(fleet), random_(seed) {}

  // Returns after about so long, when everything is mended: every process runs, every network forwards. Throws when
  // something does not start again.
  void Run(std::chrono::seconds duration);

  // How often each kind of fault was made, for the report.
  const std::map<std::string, int>& made() const { return made_; }

 private:
  void Break();
  void KillReplica(int i);
  void RestartReplica(int i);
  void KillPostgres();
  void CutNetwork(int i);
  void LosePackets(int i);
  void CrashSensors();
  void Wait(int least_millis, int most_millis);
  int Any(int count) { return static_cast<int>(random_() % static_cast<uint64_t>(count)); }

  Cluster& cluster_;
  SimFleet& fleet_;
  std::mt19937_64 random_;
  std::map<std::string, int> made_;
};

}  // namespace bulkhead::e2e
