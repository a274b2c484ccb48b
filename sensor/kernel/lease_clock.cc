// Ends of leases on the clock that the kernel's programs read.
#include "sensor/kernel/lease_clock.h"

#include <time.h>

#include <algorithm>

#include "absl/time/clock.h"

namespace bulkhead::sensor {
namespace {

absl::Duration SinceBoot() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

uint64_t BootNanoseconds() {
  return static_cast<uint64_t>(absl::ToInt64Nanoseconds(SinceBoot()));
}

uint64_t ToBootNanoseconds(absl::Time time) {
  const absl::Duration end = SinceBoot() + (time - absl::Now());
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Nanoseconds(end), 1));
}

absl::Time FromBootNanoseconds(uint64_t nanoseconds) {
  return absl::Now() + (absl::Nanoseconds(nanoseconds) - SinceBoot());
}

}  // namespace bulkhead::sensor
