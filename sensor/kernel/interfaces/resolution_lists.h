// Whom this host may ask for by ARP and neighbour discovery behind a wall: the lists that interfaces.bpf.c looks up.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {

// Root can add any gateway and have the kernel ask for it. So gateways are taken when a wall rises, and from then on
// only the way to the control plane is followed, wherever it leads: without it the host would be lost. The lists stay
// in the kernel with the programs. Works on the network namespace of the calling thread. Not thread safe.
class ResolutionLists {
 public:
  // Opens the maps that interfaces.bpf.c pinned; what an earlier sensor took is kept.
  static absl::StatusOr<ResolutionLists> Open(const std::string& pin_directory);

  // Takes all gateways, and the addresses that bonds watch; the next Follow tells the kernel. `interfaces`: those with
  // a wall, by index.
  void TakeNeighbours(const std::vector<int>& interfaces);

  // Follows this host's own addresses and the way to each of these endpoints, and puts back what somebody else changed.
  // Returns the neighbours that came new, in words.
  absl::StatusOr<std::vector<std::string>> Follow(const std::vector<bh_endpoint>& own,
                                                  const std::vector<bh_endpoint>& control_plane);

  // Why nothing is judged; empty when it is.
  const std::string& problem() const { return problem_; }

 private:
  ResolutionLists() = default;
  // An entry without an address says that nothing is judged.
  void GiveUp(std::string why);

  BpfMap near_;
  BpfMap own_;
  std::vector<bh_endpoint> taken_;
  std::string problem_;
};

}  // namespace bulkhead::sensor
