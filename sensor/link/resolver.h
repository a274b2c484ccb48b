// Names of control planes to addresses, in bounded time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sensor/domain/host_port.h"

namespace bulkhead::sensor {

// Remembers the last addresses of each name, because a host whose DNS is cut must still find its control plane.
// Used by one thread.
class Resolver {
 public:
  // `known`: what earlier runs resolved.
  explicit Resolver(std::vector<ResolvedHost> known);

  // Resolves every name, all at the same time, waiting at most `timeout`. A name that does not resolve keeps its known
  // addresses; one that has none is left out.
  std::vector<ResolvedHost> Resolve(const std::vector<HostPort>& names, absl::Duration timeout);

  // This address was reached and proved its identity. It stays in the list of its name whatever DNS answers later: a
  // forged answer must not make the sensor forget the way to its control plane.
  void MarkWorking(const HostPort& name, const ControlPlaneEndpoint& endpoint);

 private:
  struct Lookup;

  std::vector<ResolvedHost> known_;
  std::vector<ResolvedHost> working_;  // one endpoint each
  std::map<std::string, std::shared_ptr<Lookup>> running_;
};

}  // namespace bulkhead::sensor
