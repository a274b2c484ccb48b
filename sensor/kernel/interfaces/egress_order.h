// Who judges what leaves an interface before our filter does, and how to get rid of them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/kernel/ended.h"

namespace bulkhead::sensor {

// Both work on the network namespace of the calling thread.

// Is the tc filter of this priority and handle the first that egress of the interface asks (chain 0 of clsact)? False
// also where there is none.
absl::StatusOr<bool> IsFirstFilter(int interface, uint16_t priority, uint32_t handle);

// Detaches every tcx program from the interface's egress: the kernel (6.6 and later) asks them before any tc filter.
// Adds what it did to `ended`; where there is no tcx, nothing.
void DetachTcx(int interface, const std::string& name, Ended* ended);

}  // namespace bulkhead::sensor
