// Filters and programs of others where traffic control asks: they can let by, change, copy or make up packets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/kernel/ended.h"

namespace bulkhead::sensor {

// All work on the network namespace of the calling thread.

// A filter that is ours.
struct OwnFilter {
  uint16_t priority = 0;
  uint32_t handle = 0;
};

// Takes every filter but `own` from the interface: tcx programs (Linux 6.6) are detached; where clsact has another
// filter, it goes with all of them; where a queueing discipline has one, the interface gets the kernel's own discipline
// back. Adds what it did to `ended`. True: `own` went with them, and is to be attached again.
absl::StatusOr<bool> TakeForeignFilters(int interface, const std::string& name, const std::optional<OwnFilter>& own,
                                        Ended* ended);

}  // namespace bulkhead::sensor
