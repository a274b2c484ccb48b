// How long orders take: to one sensor, to many, and to all.
#pragma once

#include "e2e/fleet/cluster.h"
#include "e2e/fleet/history.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::bench {

// Each prints its figures; throws when an order is refused or does not arrive.

// One order at a time, each to another sensor: from the operator's call until the host has it in force.
void MeasureOrders(const e2e::Cluster& cluster, const e2e::SimFleet& fleet, const e2e::History& history);

// Contains the sensors with the label bulk=yes, 100 at once.
void MeasureBulk(e2e::Cluster& cluster);

// Isolates every sensor, then adds a rule for all. A message of the yardstick took its server `raw_micros` of the
// processor.
void MeasureRules(e2e::Cluster& cluster, const e2e::SimFleet& fleet, const e2e::History& history, double raw_micros);

}  // namespace bulkhead::bench
