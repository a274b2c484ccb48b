// Reads from the database, now and then, what monitoring shows of the fleet.
#include "controlplane/app/fleet_reader.h"

#include <string>

#include "common/log.h"
#include "common/status_macros.h"

namespace bulkhead::controlplane {
namespace {

// Prometheus asks every 15 to 60 seconds.
constexpr absl::Duration kInterval = absl::Seconds(10);
constexpr int kPage = 1000;

}  // namespace

FleetReader::FleetReader(Store* store, Metrics* metrics, const Clock* clock, absl::Duration heartbeat_interval)
    : store_(store), metrics_(metrics), clock_(clock), heartbeat_interval_(heartbeat_interval), thread_([this] {
        Loop();
      }) {}

void FleetReader::Stop() {
  pause_.Stop();
  if (thread_.joinable()) thread_.join();
}

void FleetReader::Loop() {
  do {
    // What was read before stays; bulkhead_fleet_read_timestamp_seconds tells how old it is.
    if (const absl::Status read = Read(); !read.ok()) {
      LogWarning("figures for monitoring not read", {{"error", read.ToString()}});
    }
  } while (pause_.For(kInterval));
}

absl::Status FleetReader::Read() {
  SensorFigures sensors;
  SensorQuery query;
  query.parts = {.observed = false, .host = false, .capabilities = false};
  std::string page_token;
  do {
    Page<Sensor> page;
    RETURN_IF_ERROR(store_->Run([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(page, tx.ListSensors(query, kPage, page_token));
      return absl::OkStatus();
    }));
    for (const Sensor& sensor : page.items) sensors.Count(sensor, heartbeat_interval_, clock_->Now());
    page_token = page.next_page_token;
  } while (!page_token.empty());
  ASSIGN_OR_RETURN(const StoredFigures stored, store_->ReadFigures());
  metrics_->SetFleet(sensors, stored, clock_->Now());
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
