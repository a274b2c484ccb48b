// Two network namespaces joined by a veth pair, a cgroup whose processes talk across it, and what is put in their way.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "harness/cgroup_sandbox.h"
#include "harness/net_sandbox.h"
#include "sensor/kernel/kernel.h"

namespace bulkhead::bench {

// Listened on by the peer for TCP and UDP; the rules allow them.
inline constexpr uint16_t kAllowedPort = 7001;
// Listened on for UDP; no rule allows it.
inline constexpr uint16_t kForbiddenPort = 7002;

class NetLab {
 public:
  NetLab();
  ~NetLab();

  // Runs `body` in a child in the cgroup and the host's namespace; what it wrote into the descriptor that it is given.
  // The child may use nothing but system calls.
  std::vector<double> InHost(size_t values, const std::function<bool(int)>& body) const;
  // The same without waiting. Returns the process.
  pid_t StartInHost(const std::function<int()>& body) const;

  void OpenBulkhead();
  void CloseBulkhead();
  // `rules` addresses, the peer's among them; `variant` chooses the others. Seconds that it took.
  double Isolate(uint32_t rules, uint32_t variant = 0);

  // The same allow-list in nftables, as one set or as one rule for each address. Seconds that it took.
  double LoadNftables(uint32_t rules, bool set, uint32_t variant = 0);
  void FlushNftables() const;

  // A cgroup program that allows everything.
  void AttachEmptyProgram();
  void DetachEmptyProgram();

  const test::CgroupSandbox& cgroup() const { return cgroup_; }
  // Datagrams that came to the forbidden port since the last call.
  uint64_t TakeForbidden() const;

 private:
  test::CgroupSandbox cgroup_;
  test::NetSandbox net_{cgroup_};
  UniqueFd forbidden_;
  UniqueFd empty_program_;
  pid_t peer_ = -1;
  sensor::DatapathOptions options_;
  std::unique_ptr<sensor::Datapath> datapath_;
  uint64_t generation_ = 0;
};

}  // namespace bulkhead::bench
