// A datapath on a cgroup and two network namespaces of its own; nothing is left when the program ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/cgroup_sandbox.h"
#include "harness/net_sandbox.h"
#include "harness/packet.h"
#include "harness/status_matchers.h"
#include "sensor/kernel/kernel.h"

namespace bulkhead::sensor {

inline constexpr char kContainId[] = "11111111-1111-4111-8111-111111111111";
inline constexpr char kIsolateId[] = "22222222-2222-4222-8222-222222222222";
inline constexpr char kBlockId[] = "33333333-3333-4333-8333-333333333333";

Policy Containment(PolicyAction action = PolicyAction::kDeny);
Policy Isolation(PolicyAction action = PolicyAction::kDeny);
Policy Block(const std::string& path, PolicyAction action = PolicyAction::kSigkill, const std::string& id = kBlockId);

// `remote` empty: any. `first` 0: any port.
IsolationRule Rule(const std::string& remote, uint16_t first, uint16_t last, uint8_t protocol, Direction direction);

// Each call has a higher generation.
DesiredState State(std::vector<Policy> policies, std::vector<IsolationRule> rules = {});

// `count` of a counter; fails the test when there is no such counter.
uint64_t CounterOf(const ObservedState& observed, const std::string& name);

// One cgroup, one pair of namespaces and one datapath for the whole run: opening one takes seconds under a sanitizer.
// Each test starts with nothing enforced and no events; counters go on counting.
class CgroupFixture {
 public:
  CgroupFixture();

  // Drops the datapath without cleaning up, as kill -9 of a sensor does: its descriptors are gone, the pins stay.
  void Crash();
  void Open();

  Datapath& datapath() const;
  const test::CgroupSandbox& cgroup() const;
  const test::NetSandbox& net() const;
  const DatapathOptions& options() const;
  // Where this layout's pins are, and the directory above, of the scope.
  std::string pins() const;
  std::string scope_pins() const;

  bool Has(const std::string& mechanism) const;
  void Apply(std::vector<Policy> policies, std::vector<IsolationRule> rules = {});
  // Why the host does not take a policy of `state`; OK when it takes all.
  absl::Status FirstRefusal(const DesiredState& state, const DesiredState& in_force);
  ObservedState Observe();
  uint64_t Counted(const std::string& counter) { return CounterOf(Observe(), counter); }
};

// One side of a TCP connection is in the scope.
struct Connection {
  UniqueFd listener;
  UniqueFd client;
  UniqueFd server;
};

class NetFixture : public CgroupFixture {
 public:
  const test::SocketFactory& host() const { return net().host(); }
  const test::SocketFactory& peer() const { return net().peer(); }

  // A connection that the host opened to the peer, and one that the peer opened to the host.
  Connection Outbound(bool v6, uint16_t port) const;
  Connection Inbound(bool v6, uint16_t port) const;

  // Does a text sent on `from` arrive on `to`?
  static bool Passes(const UniqueFd& from, const UniqueFd& to);
  // A bound UDP socket.
  static UniqueFd Udp(const test::SocketFactory& where, const std::string& ip, uint16_t port);
};

}  // namespace bulkhead::sensor
