// Which of a sensor's events are stored: each once, what is missing counted, and no more than fit the day.
#include "controlplane/domain/event.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

// bulkhead.v1.EventKind as far as this program knows it; a test compares them.
constexpr int kKnownKinds[] = {1, 2, 3, 4, 9};
constexpr uint64_t kLastSequence = std::numeric_limits<int64_t>::max();

std::string TimeKey(const std::optional<absl::Time>& time) {
  return time ? absl::StrCat(absl::ToUnixMicros(*time)) : "";
}

}  // namespace

std::string EventFilter::Key() const {
  return absl::StrCat(sensor_id, "/", kind, "/", TimeKey(since), "/", TimeKey(until), "/", policy_id);
}

absl::Status ValidateEventBatch(const EventBatch& batch) {
  constexpr char kField[] = "event_batch.events";
  if (batch.events.empty() || batch.events.size() > kMaxEventsInBatch) {
    return InvalidField(kField, absl::StrCat("must hold 1 to ", kMaxEventsInBatch, " events"));
  }
  uint64_t last = 0;
  for (const SensorEvent& event : batch.events) {
    if (event.sequence <= last || event.sequence > kLastSequence) {
      return InvalidField(kField, "must be in order of sequence, each from 1 to 2^63 - 1");
    }
    last = event.sequence;
  }
  return absl::OkStatus();
}

std::string CutEventText(std::string text) {
  if (text.size() <= kMaxEventTextBytes) return text;
  size_t end = kMaxEventTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  return text;
}

int EventBucket(int kind) {
  for (const int known : kKnownKinds) {
    if (kind == known) return kind;
  }
  return 0;
}

EventAdmission AdmitEvents(const EventBatch& batch, uint64_t last_sequence, const std::map<int, uint64_t>& stored_today,
                           uint64_t limit) {
  EventAdmission out;
  uint64_t last = last_sequence;
  bool gap_known = batch.from_the_first || last_sequence > 0;
  for (const SensorEvent& event : batch.events) {
    if (event.sequence <= last_sequence) {
      ++out.taken.repeated;
      continue;
    }
    const uint64_t lost = gap_known ? event.sequence - last - 1 : 0;
    gap_known = true;
    last = event.sequence;
    out.taken.lost += lost;
    const int bucket = EventBucket(event.kind);
    const auto before = stored_today.find(bucket);
    EventAdmission::Count& count = out.by_bucket[bucket];
    if ((before == stored_today.end() ? 0 : before->second) + count.stored >= limit) {
      ++count.refused;
      ++out.taken.refused;
      continue;
    }
    ++count.stored;
    ++out.taken.stored;
    out.admitted.push_back({&event, lost});
  }
  return out;
}

}  // namespace bulkhead::controlplane
