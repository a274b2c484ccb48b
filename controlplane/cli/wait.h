// --wait: from "the order is stored" to "the kernel has it".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/v1/command.pb.h"
#include "bulkhead/v1/sensor_service.pb.h"
#include "controlplane/cli/session.h"

namespace bulkhead::controlplane::cli {

// A sensor and the generation that its kernel must reach.
struct Goal {
  std::string sensor_id;
  std::string name;
  uint64_t generation = 0;
  std::string policy_id;  // that must be among what the sensor did not refuse; empty: none in particular
  bool lifts = false;     // it must keep nothing in force that is not ordered any more
};

// Watches the sensors until each kernel was read back with its goal's generation or a newer one. Survives a lost
// connection. Returns the sensors as they are then, in the order of `goals`. NotConverged when a sensor refuses the
// order or the goal's policy, is deleted, or `timeout` passes: the message names each sensor that is not there and why.
absl::StatusOr<std::vector<v1::Sensor>> WaitForKernels(Session& session, const std::vector<Goal>& goals,
                                                       absl::Duration timeout);

// Asks for the command until it is final. NotConverged when it FAILED or EXPIRED, or `timeout` passes.
absl::StatusOr<v1::Command> WaitForCommand(Session& session, const std::string& command_id, absl::Duration timeout);

}  // namespace bulkhead::controlplane::cli
