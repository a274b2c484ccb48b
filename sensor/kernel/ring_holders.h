// Processes with a socket that goes on behind the wall, because it works through shared memory: found, and killed.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/ended.h"
#include "sensor/kernel/programs.h"

namespace bulkhead::sensor {

// AF_XDP sockets and rings of packet sockets; see bpf/holders.bpf.c. Nothing destroys such a socket but the end of
// every process that holds it. Not thread safe.
class RingHolders {
 public:
  // `directory`: where the shared maps are pinned. Not `kill`: they are only named.
  static absl::StatusOr<RingHolders> Open(const std::string& directory, const Scope& scope, bool kill);

  // Looks for holders of sockets that the published set forbids, and kills them, until none is found or the rest is
  // left alone: pid 1, the sensor, its ancestors, what is outside the scope. Takes as long as the walk over all
  // descriptors of the host, twice and more when it kills; at most about 2 s.
  void Close();

  // Forgets what was killed; for a new order.
  void Reset() { ended_ = Ended(); }

  // Who was killed, and as degraded who was not, and why.
  void Describe(ObservedState* observed) const { ended_.Describe(observed); }

 private:
  RingHolders(ObjectPtr object, const Scope& scope, bool kill)
      : object_(std::move(object)), scope_(scope), kill_(kill) {}

  absl::StatusOr<std::set<uint32_t>> List() const;
  absl::StatusOr<bool> KillOnce();

  ObjectPtr object_;
  Scope scope_;
  bool kill_;
  Ended ended_;
};

}  // namespace bulkhead::sensor
