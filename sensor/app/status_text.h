// What a sensor enforces, as text for a person on the host.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// Several lines, "key: value" first, then what is degraded or critical. `connection` says to whom the sensor is
// connected or why not.
std::string StatusText(const ObservedState& observed, absl::string_view connection, absl::Time now);

}  // namespace bulkhead::sensor
