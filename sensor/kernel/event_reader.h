// Takes events out of the kernel's ring buffer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/cgroup_names.h"

struct ring_buffer;

namespace bulkhead::sensor {

// Not thread safe.
class EventReader {
 public:
  // `policy_id` names a policy by its key. `map_fd`: the ring buffer, which must outlive this object.
  static absl::StatusOr<std::unique_ptr<EventReader>> Open(int map_fd,
                                                           std::function<std::string(const bh_policy_key&)> policy_id);
  ~EventReader();
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;

  // Readable while there are events.
  int fd() const;

  // At most `limit` events; never blocks.
  std::vector<Event> Drain(size_t limit);

 private:
  explicit EventReader(std::function<std::string(const bh_policy_key&)> policy_id) : policy_id_(std::move(policy_id)) {}
  static int OnRecord(void* self, void* data, size_t size);
  Event Convert(const bh_event& record);

  std::function<std::string(const bh_policy_key&)> policy_id_;
  CgroupNames cgroups_;
  ring_buffer* ring_ = nullptr;
  std::vector<Event> taken_;
  size_t limit_ = 0;
};

}  // namespace bulkhead::sensor
