// What sensors saw, as the domain has it, and which of it is stored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace bulkhead::controlplane {

// See bulkhead.v1.Event.
struct SensorEvent {
  uint64_t sequence = 0;
  std::optional<absl::Time> time;  // by the sensor's clock
  int kind = 0;                    // bulkhead.v1.EventKind, also one that is not known here
  std::string policy_id;
  uint32_t pid = 0;
  std::string comm;
  std::string detail;
  uint32_t uid = 0;
  uint32_t parent_pid = 0;
  std::string parent_comm;
  std::string cgroup;
  std::string container;
};

// Some events of one run of a sensor.
struct EventBatch {
  std::string run_id;          // UUID
  bool from_the_first = true;  // the run numbers its events from 1, so what is missing before the first was lost
  std::vector<SensorEvent> events;
};

struct StoredEvent {
  uint64_t id = 0;
  uint64_t transaction = 0;  // with the id its EventCursor
  std::string sensor_id;
  std::string sensor_name;  // empty: the sensor was deleted
  absl::Time received_at;   // by the database's clock
  uint64_t lost_before = 0;
  SensorEvent event;
};

// Which events are wanted; what is empty, zero or none does not matter.
struct EventFilter {
  std::string sensor_id;
  int kind = 0;
  std::string policy_id;
  std::optional<absl::Time> since;  // received_at
  std::optional<absl::Time> until;

  // The same for equal filters only.
  std::string Key() const;
};

// A place in the order in which events are stored.
struct EventCursor {
  uint64_t transaction = 0;
  uint64_t id = 0;
};

// One sensor and day.
struct EventCount {
  std::string day;  // "2026-03-15", UTC
  std::string sensor_id;
  std::string sensor_name;
  uint64_t stored = 0;
  uint64_t refused = 0;  // beyond the limit
  uint64_t lost = 0;     // dropped by the sensor
};

// What came of a batch.
struct EventsTaken {
  uint64_t repeated = 0;  // stored before
  uint64_t stored = 0;
  uint64_t refused = 0;
  uint64_t lost = 0;
};

inline constexpr int kMaxEventsInBatch = 256;
inline constexpr size_t kMaxEventTextBytes = 1024;

// 1..256 events whose sequences grow, in 1..2^63-1. InvalidField names event_batch.events.
absl::Status ValidateEventBatch(const EventBatch& batch);

// At most kMaxEventTextBytes of `text`, cut between characters of UTF-8.
std::string CutEventText(std::string text);

// What is counted together against the limit of a day: a kind, or 0 for all that are not known here.
int EventBucket(int kind);

struct EventAdmission {
  struct Admitted {
    const SensorEvent* event = nullptr;  // in the batch
    uint64_t lost_before = 0;
  };
  struct Count {
    uint64_t stored = 0;
    uint64_t refused = 0;
  };
  std::vector<Admitted> admitted;
  std::map<int, Count> by_bucket;
  EventsTaken taken;
};

// Decides over a valid batch. `last_sequence` is the last of this run that was taken, 0 for a new run; `stored_today`
// says how many of each bucket the sensor has stored today, of which at most `limit` are. Pure.
EventAdmission AdmitEvents(const EventBatch& batch, uint64_t last_sequence, const std::map<int, uint64_t>& stored_today,
                           uint64_t limit);

}  // namespace bulkhead::controlplane
