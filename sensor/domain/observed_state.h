// What was read back from this host's kernel, and what the host can enforce. Mirrors protos/bulkhead/v1/state.proto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

enum class Tier { kNone = 1, kPartial = 2, kWall = 3, kFull = 4 };

// A layer that was tried here.
struct Mechanism {
  std::string name;
  bool available = false;  // proved by its effect
  std::string reason;      // why not; empty when available
};

struct Capabilities {
  Tier containment = Tier::kNone;
  Tier isolation = Tier::kNone;
  Tier block_binary = Tier::kNone;
  Tier allow_list = Tier::kNone;
  std::vector<Mechanism> mechanisms;
};

// What a policy in shadow mode would have cut; see bulkhead.v1.WouldCut.
struct WouldCut {
  IpPrefix remote;    // one address
  uint16_t port = 0;  // 0: the protocol has none
  uint8_t protocol = 0;
  Direction direction = Direction::kOutbound;
  std::string comm;  // empty: packets
  uint64_t count = 0;
};

struct ObservedPolicy {
  std::string policy_id;
  std::vector<std::string> mechanisms;  // strongest first
  uint64_t hits = 0;
  std::string degraded;
  std::optional<absl::Time> expires_at;  // by the sensor's clock; none: never, or it holds
  bool expired = false;                  // the kernel does not enforce it any more
  std::vector<WouldCut> would_cut;       // the most frequent first, at most kMostCutsShown
  std::string scope_cgroup;  // of a policy with a scope: path of the cgroup that carries it; empty: none now
  // For a blocked binary; see protos/bulkhead/v1/state.proto.
  uint32_t running = 0;
  std::vector<uint32_t> running_pids;
  uint64_t killed_running = 0;
  uint64_t respawns = 0;
  std::string sha256;
  // For an allow-list that learns.
  std::vector<AllowedBinary> learned;
  bool learned_truncated = false;
  std::string refused;  // why it is not enforced while the others are; empty when it is
};

inline constexpr size_t kMostCutsShown = 32;

struct Counter {
  std::string name;
  uint64_t value = 0;
};

struct AttachedProgram {
  std::string name;
  uint32_t program_id = 0;
  uint32_t link_id = 0;
  std::string target;
};

// Something that was tried from inside after the flip; see bulkhead.v1.ProbeResult.
struct ActiveProbe {
  std::string name;
  bool passed = false;
  std::string detail;
  bool required = false;  // when it did not pass, the wall is not there as ordered

  friend bool operator==(const ActiveProbe&, const ActiveProbe&) = default;
};

struct Receipt {
  uint64_t generation = 0;  // read back from the kernel's maps
  Digest digest{};          // read back from the kernel's maps
  absl::Time enforced_at = absl::InfinitePast();
  absl::Duration apply_time;
  std::vector<AttachedProgram> programs;
  uint32_t sockets_destroyed = 0;
  std::vector<std::string> ended;  // in words: what would have worked past the wall
  std::vector<ActiveProbe> probes;
  bool complete = false;  // everything that the generation needs was tried
};

enum class GuardState { kOff = 1, kUp = 2, kLowered = 3, kUnavailable = 4 };

// What the sensor sees of its tamper guard.
struct ObservedGuard {
  GuardState state = GuardState::kOff;
  absl::Time lowered_until = absl::InfinitePast();  // set when kLowered
  std::string reason;                               // why it is kOff or kUnavailable; empty otherwise
  bool has_code = false;                            // an offline code can lower it
  uint64_t refusals = 0;                            // since its programs were loaded
};

struct ObservedState {
  Receipt receipt;
  bool contained = false;
  bool isolated = false;
  bool scoped_wall = false;  // a wall with a scope is in force
  std::vector<ObservedPolicy> policies;
  std::vector<Counter> counters;
  std::vector<std::string> degraded;  // not empty: DEGRADED
  std::vector<std::string> critical;  // not empty: CRITICAL
  uint64_t drift_repairs = 0;
  // What a sensor of an older layout left is attached too, and may enforce what no generation here tells.
  bool older_sensor_in_force = false;
  ObservedGuard guard;
};

enum class EventKind { kConnectDenied = 1, kExecDenied = 2, kDriftRepaired = 3, kLayerChanged = 4, kTamper = 9 };

struct Event {
  absl::Time time;
  EventKind kind = EventKind::kConnectDenied;
  std::string policy_id;
  uint32_t pid = 0;
  std::string comm;
  std::string detail;
  // Of the process, as it was then; see bulkhead.v1.Event.
  uint32_t uid = 0;
  uint32_t parent_pid = 0;
  std::string parent_comm;
  std::string cgroup;
  std::string container;
};

}  // namespace bulkhead::sensor
