// What streams and heartbeats cost a server, ours or the yardstick.
#pragma once

#include <sys/types.h>

#include "bench/fleet/usage.h"
#include "e2e/fleet/cluster.h"
#include "e2e/fleet/history.h"
#include "e2e/fleet/sim_fleet.h"

namespace bulkhead::bench {

struct Figures {
  double kib_per_stream = 0;
  double connects_per_second = 0;
  double cpu_millis_per_connect = 0;
  double messages_per_second = 0;
  double cpu_micros_per_message = 0;
  double paced_cpu_percent = 0;                   // of one processor
  double round_trip_p50 = 0, round_trip_p99 = 0;  // milliseconds, paced
};

// Waits, five minutes at most, until every sensor is connected.
bool WaitForConnected(const e2e::SimFleet& fleet);

// Connects the fleet, which was made at `began`, lets it beat for so many seconds at its own pace, then as fast as
// answers come. `idle` is what `server` used before. Throws when not every sensor connects.
Figures MeasureBeats(e2e::SimFleet& fleet, pid_t server, const Usage& idle, e2e::Clock::time_point began, int seconds);

// Prints them beside the yardstick's and beside plain SQL.
void PrintBeats(e2e::Cluster& cluster, const Figures& ours, const Figures& raw);

}  // namespace bulkhead::bench
