// Events of sensors as text: who tried what, when, and which policy stopped it.
#include "controlplane/cli/render_event.h"

#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/words.h"

namespace bulkhead::controlplane::cli {
namespace {

const std::vector<std::string>& Columns() {
  static const auto* const columns =
      new std::vector<std::string>{"TIME", "SENSOR", "KIND", "PROCESS", "PARENT", "USER", "WHERE", "POLICY", "WHAT"};
  return *columns;
}

// Of a line that is printed before the next is known; the last column needs none.
constexpr std::array<int, 8> kWidths = {20, 16, 15, 22, 22, 6, 14, 36};

std::string ProcessWord(const std::string& comm, uint32_t pid) {
  return pid == 0 ? "" : absl::StrCat(comm, "(", pid, ")");
}

std::string WhereWord(const v1::Event& event) {
  // As container tools show an id.
  return event.container().empty() ? event.cgroup() : event.container().substr(0, 12);
}

std::string WhatWord(const v1::StoredEvent& stored) {
  if (stored.lost_before() == 0) return stored.event().detail();
  return absl::StrCat("[", stored.lost_before(), " lost before this] ", stored.event().detail());
}

std::vector<std::string> Cells(const v1::StoredEvent& stored) {
  const v1::Event& event = stored.event();
  return {TimeWord(event.has_time() ? event.time() : stored.received_at()),
          stored.sensor_name().empty() ? stored.sensor_id() : stored.sensor_name(),
          Word(v1::EventKind_descriptor(), event.kind()),
          ProcessWord(event.comm(), event.pid()),
          ProcessWord(event.parent_comm(), event.parent_pid()),
          event.pid() == 0 ? "" : absl::StrCat(event.uid()),
          WhereWord(event),
          event.policy_id(),
          WhatWord(stored)};
}

std::string Line(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < kWidths.size(); ++i) {
    absl::StrAppendFormat(&line, "%-*s  ", kWidths[i], cells[i].empty() ? "-" : Printable(cells[i]));
  }
  return absl::StrCat(line, Printable(cells.back()), "\n");
}

}  // namespace

std::string RenderEvents(const v1::ListEventsResponse& events) {
  Table table(Columns());
  for (const v1::StoredEvent& event : events.events()) table.AddRow(Cells(event));
  return table.ToString();
}

std::string RenderEventCounts(const v1::ListEventCountsResponse& counts) {
  Table table({"DAY", "SENSOR", "STORED", "REFUSED", "LOST", "ID"});
  for (const v1::EventCount& count : counts.counts()) {
    table.AddRow({count.day(), count.sensor_name(), absl::StrCat(count.stored()), absl::StrCat(count.refused()),
                  absl::StrCat(count.lost()), count.sensor_id()});
  }
  return table.ToString();
}

std::string RenderEventHeader() {
  return Line(Columns());
}

std::string RenderEventLine(const v1::StoredEvent& event) {
  return Line(Cells(event));
}

}  // namespace bulkhead::controlplane::cli
