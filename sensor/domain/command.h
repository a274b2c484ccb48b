// An order that happens once, as the sensor sees it.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "sensor/domain/process_killer.h"
#include "sensor/domain/tamper_guard.h"

namespace bulkhead::sensor {

// Kill one process, or an order to the tamper guard; see bulkhead.v1.Command.
struct Command {
  std::string id;           // UUID
  std::string sensor_id;    // UUID of the sensor that it is for
  ProcessIdentity process;  // to kill, unless `guard` is set
  absl::Time not_after;     // not started after this moment, by the sensor's clock
  std::optional<GuardOrder> guard;
};

}  // namespace bulkhead::sensor
