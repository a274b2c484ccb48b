// A sensor's batch of events as the domain has it.
#include "controlplane/link/event_convert.h"

#include "controlplane/rpc/convert.h"

namespace bulkhead::controlplane {
namespace {

// 1970 to 9999: what PostgreSQL and protobuf both hold.
constexpr int64_t kLastSecond = 253402300799;

std::optional<absl::Time> TimeOf(const v1::Event& event) {
  const int64_t seconds = event.time().seconds();
  if (!event.has_time() || seconds < 0 || seconds > kLastSecond) return std::nullopt;
  return FromProto(event.time());
}

SensorEvent EventOf(const v1::Event& event) {
  return {.sequence = event.sequence(),
          .time = TimeOf(event),
          .kind = event.kind(),
          .policy_id = CutEventText(event.policy_id()),
          .pid = event.pid(),
          .comm = CutEventText(event.comm()),
          .detail = CutEventText(event.detail()),
          .uid = event.uid(),
          .parent_pid = event.parent_pid(),
          .parent_comm = CutEventText(event.parent_comm()),
          .cgroup = CutEventText(event.cgroup()),
          .container = CutEventText(event.container())};
}

}  // namespace

EventBatch BatchOf(const v1::EventBatch& batch, const std::string& run_id, bool run_known) {
  EventBatch out{.run_id = run_id, .from_the_first = run_known, .events = {}};
  out.events.reserve(static_cast<size_t>(batch.events_size()));
  for (const v1::Event& event : batch.events()) out.events.push_back(EventOf(event));
  return out;
}

}  // namespace bulkhead::controlplane
