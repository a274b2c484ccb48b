// What a leak run puts up against the probes: Bulkhead's own datapath, or a yardstick beside it. Host-wide but for
// Bulkhead's in a scope.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::leak {

class Wall {
 public:
  // Takes the wall down.
  virtual ~Wall() = default;

  // "open", "contain" or "isolate".
  virtual absl::Status Order(const std::string& order) = 0;

  // What carries it here: one line of words.
  virtual std::string Layers() const = 0;
};

// The sensor's datapath. `scope`: see DatapathOptions; empty for the whole host.
absl::StatusOr<std::unique_ptr<Wall>> OpenBulkheadWall(const std::string& scope);

// nftables with the same allow-list and its connection tracking, as a careful administrator writes it.
absl::StatusOr<std::unique_ptr<Wall>> OpenNftablesWall();

// A kprobe on tcp_connect that kills the caller, and nothing else: what the field calls containment. It knows no
// direction, so both orders are the same.
absl::StatusOr<std::unique_ptr<Wall>> OpenConnectHookWall();

}  // namespace bulkhead::leak
