// What streams and heartbeats cost a server, ours or the yardstick.
#include "bench/fleet/beats.h"

#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::bench {
namespace {

using e2e::Clock;
using e2e::Cluster;
using e2e::SimFleet;
using e2e::SimSensor;

constexpr auto kConnectLimit = std::chrono::minutes(5);

// Rows a second of the plainest batched upsert, one statement a thousand rows.
double PlainSqlRows(const e2e::Postgres& postgres) {
  constexpr int kStatements = 100, kRows = 1000;
  postgres.Query("CREATE TABLE yardstick (id integer PRIMARY KEY, seq bigint, at timestamptz) WITH (fillfactor = 60)");
  const auto began = Clock::now();
  const e2e::Result done =
      postgres.Query("DO $$ DECLARE ids integer[] := array(SELECT generate_series(1, " + std::to_string(kRows) +
                     ")); BEGIN FOR i IN 1.." + std::to_string(kStatements) +
                     " LOOP INSERT INTO yardstick SELECT id, i, now() FROM unnest(ids) AS id"
                     " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, at = excluded.at; COMMIT; END "
                     "LOOP; END $$");
  if (done.exit_code != 0) throw std::runtime_error("the plain upsert failed: " + done.err);
  return kStatements * kRows / Seconds(Clock::now() - began);
}

}  // namespace

bool WaitForConnected(const SimFleet& fleet) {
  const auto limit = Clock::now() + kConnectLimit;
  while (fleet.counts().connected < fleet.size() && Clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return fleet.counts().connected == fleet.size();
}

Figures MeasureBeats(SimFleet& fleet, pid_t server, const Usage& idle, Clock::time_point began, int seconds) {
  Figures figures;
  const auto count = static_cast<double>(fleet.size());
  if (!WaitForConnected(fleet))
    throw std::runtime_error("only " + std::to_string(fleet.counts().connected) + " sensors connected");
  figures.connects_per_second = count / Seconds(Clock::now() - began);
  const Usage connected = UsageOf(server);
  figures.cpu_millis_per_connect = (connected.cpu_seconds - idle.cpu_seconds) * 1e3 / count;
  figures.kib_per_stream = (connected.resident_kib - idle.resident_kib) / count;

  // Those of the time in which others still connected are not of a fleet at its own pace.
  fleet.PostToAll([](SimSensor& sensor) { sensor.TakeRoundTrips(); });
  const Usage quiet = UsageOf(server);
  const auto quiet_began = Clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  figures.paced_cpu_percent =
      (UsageOf(server).cpu_seconds - quiet.cpu_seconds) * 100 / Seconds(Clock::now() - quiet_began);
  std::mutex mutex;
  std::vector<double> millis;
  fleet.PostToAll([&](SimSensor& sensor) {
    const std::lock_guard lock(mutex);
    for (const uint32_t micros : sensor.TakeRoundTrips()) millis.push_back(micros / 1e3);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  {
    const std::lock_guard lock(mutex);
    figures.round_trip_p50 = Percentile(millis, 50);
    figures.round_trip_p99 = Percentile(millis, 99);
  }

  fleet.PostToAll([](SimSensor& sensor) { sensor.Flood(true); });
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const Usage before = UsageOf(server);
  const uint64_t answered_before = fleet.counts().heartbeats_answered;
  const auto flood_began = Clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const auto answered = static_cast<double>(fleet.counts().heartbeats_answered - answered_before);
  figures.messages_per_second = answered / Seconds(Clock::now() - flood_began);
  figures.cpu_micros_per_message = (UsageOf(server).cpu_seconds - before.cpu_seconds) * 1e6 / answered;
  fleet.PostToAll([](SimSensor& sensor) { sensor.Flood(false); });
  // The last of all of them are answered in about 2 s.
  std::this_thread::sleep_for(std::chrono::seconds(3));
  return figures;
}

void PrintBeats(Cluster& cluster, const Figures& ours, const Figures& raw) {
  Print("memory of a stream, KiB", ours.kib_per_stream, raw.kib_per_stream);
  Print("streams opened a second", ours.connects_per_second, raw.connects_per_second);
  Print("server's processor for opening one, ms", ours.cpu_millis_per_connect, raw.cpu_millis_per_connect);
  Print("heartbeats answered a second", ours.messages_per_second, raw.messages_per_second);
  Print("server's processor for a heartbeat, us", ours.cpu_micros_per_message, raw.cpu_micros_per_message);
  Print("server's processor at their own pace, % of one", ours.paced_cpu_percent, raw.paced_cpu_percent);
  Print("heartbeat -> answer at their own pace, p50 ms", ours.round_trip_p50, raw.round_trip_p50);
  Print("heartbeat -> answer at their own pace, p99 ms", ours.round_trip_p99, raw.round_trip_p99);
  Print("heartbeat rows a second (plain: unnest 1000)", ours.messages_per_second, PlainSqlRows(cluster.postgres()));
  const std::string rows = cluster.postgres().Query("SELECT count(*) FROM heartbeats").out;
  printf("%-46s %12s", "heartbeat rows in the database", rows.c_str());
}

}  // namespace bulkhead::bench
