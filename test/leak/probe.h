// One way out of, into or around the wall, tried by root on the contained host. What arrives is judged elsewhere, by
// the peer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace bulkhead::leak {

// Who is where; network.py sets this up and has the same values.
inline constexpr char kInterface[] = "lk0";
inline constexpr char kOwnAddress4[] = "10.77.0.1";
inline constexpr char kPeer4[] = "10.77.0.2";
inline constexpr char kPeer6[] = "fd77::2";
inline constexpr char kPeerLinkLocal[] = "fe80::2";
inline constexpr char kBroadcast4[] = "10.77.0.255";
inline constexpr uint8_t kOwnMac[6] = {2, 0x77, 0, 0, 0, 1};
inline constexpr uint8_t kPeerMac[6] = {2, 0x77, 0, 0, 0, 2};
// The one endpoint that the isolation rules allow: TCP at kPeer4.
inline constexpr uint16_t kAllowedPort = 7777;
// Where the control plane would be, at kPeer4: open to the sensor's own sockets only.
inline constexpr uint16_t kControlPlanePort = 8443;

// What marks the traffic of one attempt: the peer takes a frame with this port or this token for a leak. Where the
// kernel writes the message and only an address is ours, the port is its last 16 bits; peer.py has these addresses.
struct Shot {
  uint16_t port = 0;
  std::string token;
};

// Lives in a process of its own inside the scope; single threaded.
class Probe {
 public:
  virtual ~Probe() = default;

  // Before the order: what an attacker may already hold, such as an open socket.
  virtual absl::Status Prepare(const Shot&) { return absl::OkStatus(); }

  // Under the order: tries to deliver `shot.token`. OK means only that no call failed.
  virtual absl::Status Attempt(const Shot& shot) = 0;
};

using ProbeFactory = std::function<std::unique_ptr<Probe>()>;
using ProbeTable = std::map<std::string, ProbeFactory>;

// Each adds its probes by the names that rows.json lists.
void AddStreamProbes(ProbeTable& table);
void AddDatagramProbes(ProbeTable& table);
void AddRawProbes(ProbeTable& table);
void AddPacketProbes(ProbeTable& table);
void AddXdpProbes(ProbeTable& table);
void AddUringProbes(ProbeTable& table);
void AddProcessProbes(ProbeTable& table);
void AddDetourProbes(ProbeTable& table);
void AddInFrontProbes(ProbeTable& table);
void AddBehindProbes(ProbeTable& table);
void AddSignallingProbes(ProbeTable& table);
void AddInboundProbes(ProbeTable& table);

}  // namespace bulkhead::leak
