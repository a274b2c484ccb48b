// Ends of leases on the clock that the kernel's programs read.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace bulkhead::sensor {

// CLOCK_BOOTTIME: nanoseconds since boot, time asleep included. Nobody sets it.
uint64_t BootNanoseconds();

// A wall-clock time as CLOCK_BOOTTIME, at least 1: one that has passed is over, and 0 would mean never.
uint64_t ToBootNanoseconds(absl::Time time);
absl::Time FromBootNanoseconds(uint64_t nanoseconds);

}  // namespace bulkhead::sensor
