// Takes events out of the kernel's ring buffer and puts them into words.
#include "sensor/kernel/event_reader.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"
#include "sensor/kernel/scope_resolver.h"

namespace bulkhead::sensor {
namespace {

absl::Time FromMonotonic(uint64_t nanoseconds) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::Now() - (absl::DurationFromTimespec(now) - absl::Nanoseconds(nanoseconds));
}

std::string AddressText(const uint8_t* address) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const bool v4 = std::memcmp(address, kMapped, sizeof(kMapped)) == 0;
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, text, sizeof(text));
  return v4 ? std::string(text) : absl::StrCat("[", text, "]");
}

const char* ActionText(uint8_t action) {
  return action == BH_ACTION_SIGKILL ? "killed" : action == BH_ACTION_DENY ? "refused" : "would be stopped";
}

const char* MatchText(uint8_t match) {
  switch (match) {
    case BH_MATCH_FILE:
      return ", matched by file identity";
    case BH_MATCH_PATH:
      return ", matched by path";
    case BH_MATCH_DIGEST:
      return ", matched by content (SHA-256)";
    case BH_MATCH_PRINT:
      return ", matched by fingerprint (size and first 256 bytes)";
    case BH_MATCH_UNLISTED:
      return ", not on the scope's allow-list";
    default:
      return "";
  }
}

std::string FixedText(const char* text, size_t size) {
  return std::string(text, strnlen(text, size));
}

// Of the innermost cgroup whose name holds a container.
std::string ContainerOf(absl::string_view cgroup) {
  while (!cgroup.empty()) {
    const size_t slash = cgroup.rfind('/');
    if (slash == absl::string_view::npos) return "";
    if (std::string id = ContainerIdOf(cgroup.substr(slash + 1)); !id.empty()) return id;
    cgroup = cgroup.substr(0, slash);
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventReader>> EventReader::Open(
    int map_fd, std::function<std::string(const bh_policy_key&)> policy_id) {
  std::unique_ptr<EventReader> reader(new EventReader(std::move(policy_id)));
  reader->ring_ = ring_buffer__new(map_fd, OnRecord, reader.get(), nullptr);
  if (reader->ring_ == nullptr) return ErrnoToStatus(errno, "open the kernel's event buffer");
  return reader;
}

EventReader::~EventReader() {
  ring_buffer__free(ring_);
}

int EventReader::fd() const {
  return ring_buffer__epoll_fd(ring_);
}

int EventReader::OnRecord(void* self, void* data, size_t size) {
  auto* reader = static_cast<EventReader*>(self);
  if (size >= sizeof(bh_event)) reader->taken_.push_back(reader->Convert(*static_cast<const bh_event*>(data)));
  // A negative answer ends the round; this record counts as taken.
  return reader->taken_.size() >= reader->limit_ ? -ENOBUFS : 0;
}

Event EventReader::Convert(const bh_event& record) {
  Event event;
  event.time = FromMonotonic(record.time_ns);
  event.kind = record.kind == BH_EVENT_EXEC ? EventKind::kExecDenied : EventKind::kConnectDenied;
  event.policy_id = policy_id_(record.policy);
  event.pid = record.pid;
  event.comm = FixedText(record.comm, sizeof(record.comm));
  event.uid = record.uid;
  event.parent_pid = record.parent;
  event.parent_comm = FixedText(record.parent_comm, sizeof(record.parent_comm));
  event.cgroup = cgroups_.PathOf(record.cgroup);
  event.container = ContainerOf(event.cgroup);
  if (record.kind == BH_EVENT_EXEC) {
    event.detail = absl::StrCat(ActionText(record.action), ": exec of ", FixedText(record.path, sizeof(record.path)),
                                MatchText(record.match));
    if (record.respawn != 0) {
      absl::StrAppend(&event.detail, "; it came back within 60 s of another that was stopped: parent ",
                      event.parent_pid, " (", event.parent_comm, ") keeps trying");
    }
  } else {
    event.detail = absl::StrCat(ActionText(record.action), ": protocol ", record.protocol, " to ",
                                AddressText(record.address), ":", record.port);
  }
  return event;
}

std::vector<Event> EventReader::Drain(size_t limit) {
  taken_.clear();
  limit_ = limit;
  if (limit > 0) ring_buffer__consume(ring_);
  return std::move(taken_);
}

}  // namespace bulkhead::sensor
