// Walks over the sockets of a scope, in every network namespace that it uses: marks old connections, destroys forbidden
// ones.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/programs.h"

namespace bulkhead::sensor {

// Destroys a loopback connection of its own by sock_diag; OK when the owner was told.
absl::Status ProbeSocketDestroy();

// Not thread safe; each walk runs on a thread of its own, because a network namespace belongs to a thread.
class SocketWalker {
 public:
  // `directory`: where the shared maps are pinned.
  static absl::StatusOr<SocketWalker> Open(const std::string& directory, const Scope& scope);

  // Remembers for connections that nobody saw being opened who opened them; see bpf/sockets.bpf.c.
  absl::Status MarkOldConnections();

  // Destroys the scope's TCP connections and connected UDP sockets that the published rule set forbids; returns how
  // many.
  absl::StatusOr<uint32_t> DestroyForbidden();

 private:
  SocketWalker(ObjectPtr object, const Scope& scope) : object_(std::move(object)), scope_(scope) {}

  ObjectPtr object_;
  Scope scope_;
};

}  // namespace bulkhead::sensor
