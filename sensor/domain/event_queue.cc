// Events that wait for the control plane.
#include "sensor/domain/event_queue.h"

#include <utility>

namespace bulkhead::sensor {

void EventQueue::Push(Event event) {
  events_.push_back({++last_sequence_, std::move(event)});
  if (events_.size() > capacity_) {
    events_.pop_front();
    ++dropped_;
  }
}

std::vector<NumberedEvent> EventQueue::TakeUnsent(size_t limit) {
  std::vector<NumberedEvent> out;
  for (const NumberedEvent& event : events_) {
    if (event.sequence <= sent_through_) continue;
    if (out.size() == limit) break;
    out.push_back(event);
  }
  if (!out.empty()) sent_through_ = out.back().sequence;
  return out;
}

void EventQueue::Acknowledge(uint64_t through_sequence) {
  while (!events_.empty() && events_.front().sequence <= through_sequence) events_.pop_front();
}

}  // namespace bulkhead::sensor
