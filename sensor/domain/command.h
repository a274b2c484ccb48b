// An order that happens once, as the sensor sees it.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "sensor/domain/process_killer.h"

namespace bulkhead::sensor {

// Kill one process; see bulkhead.v1.Command.
struct Command {
  std::string id;         // UUID
  std::string sensor_id;  // UUID of the sensor that it is for
  ProcessIdentity process;
  absl::Time not_after;  // not started after this moment, by the sensor's clock
};

}  // namespace bulkhead::sensor
