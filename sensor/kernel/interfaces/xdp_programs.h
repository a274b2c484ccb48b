// XDP programs of others: what they send passes no wall, so they are detached behind one.
#pragma once

#include "sensor/kernel/ended.h"

namespace bulkhead::sensor {

// Detaches every XDP program from every interface of the calling thread's network namespace, whether by netlink or by a
// link, and adds what it did.
void DetachXdp(Ended* ended);

}  // namespace bulkhead::sensor
