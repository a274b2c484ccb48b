// Events that wait for the control plane: bounded, in order, drops counted.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "common/uuid.h"
#include "sensor/domain/observed_state.h"

namespace bulkhead::sensor {

// An event with its number. Numbers grow by 1 with every event, also with one that is dropped, so a gap shows a drop.
struct NumberedEvent {
  uint64_t sequence = 0;
  Event event;
};

// Not thread safe: used by the loop thread only.
class EventQueue {
 public:
  explicit EventQueue(size_t capacity) : capacity_(capacity) {}

  // Adds an event; when the queue is full the oldest one goes, because the newest tells what happens now.
  void Push(Event event);

  // Up to `limit` events that were not taken since the last Rewind; they stay until Acknowledge.
  std::vector<NumberedEvent> TakeUnsent(size_t limit);

  // The control plane has everything up to this number.
  void Acknowledge(uint64_t through_sequence);

  // The stream was lost: what was sent and not acknowledged is sent again.
  void Rewind() { sent_through_ = 0; }

  // Names the numbering, which starts at 1 in each run of the sensor.
  const std::string& run_id() const { return run_id_; }
  // Dropped since the start of the sensor.
  uint64_t dropped() const { return dropped_; }
  size_t size() const { return events_.size(); }

 private:
  size_t capacity_;
  const std::string run_id_ = NewUuid();
  std::deque<NumberedEvent> events_;
  uint64_t last_sequence_ = 0;
  uint64_t sent_through_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace bulkhead::sensor
