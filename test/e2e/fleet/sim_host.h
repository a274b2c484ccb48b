// A simulated host: what of it outlives its sensor, that is the kernel's rules and the sensor's files.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>

#include "bulkhead/v1/sensor_link.pb.h"
#include "e2e/fleet/history.h"

namespace bulkhead::e2e {

// A mistake that a host makes on purpose, to see whether the checker finds it.
enum class Planted {
  kNone,
  kForgetsKills,      // repeats a kill after a restart
  kDropsOrders,       // says that it applied, and did not
  kInventsState,      // contains itself though nobody said so
  kLosesLateResults,  // never reports what became of a kill
  kIgnoresSentAt,     // reads a lease by a clock of its own, which is two hours behind
  kRefusesOrders,     // applies nothing that holds a policy, and says so
};

// Follows the rules of the real sensor: a generation only grows; a kill is noted before it is done, so that it is done
// at most once; a result is repeated until it is acknowledged. Used by one thread.
class SimHost {
 public:
  SimHost(std::string sensor_id, History* history, Planted planted)
      : sensor_id_(std::move(sensor_id)), history_(history), planted_(planted) {}

  // Puts a state in force and says what became of it.
  v1::PolicyStatus Apply(const v1::DesiredState& desired);
  // Carries a command out, if that was not done before. No value: the sensor died in the middle (as `dies` says), with
  // the process killed and the result not noted.
  std::optional<v1::CommandResult> Kill(const v1::Command& command, bool dies);
  // The control plane has the result.
  void Acknowledge(const std::string& command_id) { unacknowledged_.erase(command_id); }

  v1::ObservedState Observe() const;
  // Results that nobody has acknowledged; what a sensor sends after its hello.
  const std::map<std::string, v1::CommandResult>& unacknowledged() const { return unacknowledged_; }
  // What a restart of the sensor does to it.
  void Restart();

 private:
  const std::string sensor_id_;
  History* const history_;
  const Planted planted_;
  uint64_t generation_ = 0;
  std::string digest_;
  Enforced enforced_;
  // Commands that were begun; no value: no result was noted.
  std::map<std::string, std::optional<v1::CommandResult>> commands_;
  std::map<std::string, v1::CommandResult> unacknowledged_;
};

}  // namespace bulkhead::e2e
