// Names of control planes to addresses, in bounded time.
#pragma once

#include <functional>
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
  // Addresses of a name; empty when it does not resolve. Called on threads of its own; may take long.
  using Lookup = std::function<std::vector<IpPrefix>(const std::string& host)>;

  // `known`: what earlier runs resolved. Until one address has proved itself, these stay in the list: a forged answer
  // right after a restart must not hide the way that worked before. `lookup`: getaddrinfo when not given.
  explicit Resolver(std::vector<ResolvedHost> known, Lookup lookup = nullptr);

  // Resolves every name, all at the same time, waiting at most `timeout`. A name that does not resolve keeps its known
  // addresses; one that has none is left out.
  std::vector<ResolvedHost> Resolve(const std::vector<HostPort>& names, absl::Duration timeout);

  // This address was reached and proved its identity. It stays in the list of its name whatever DNS answers later: a
  // forged answer must not make the sensor forget the way to its control plane.
  void MarkWorking(const HostPort& name, const ControlPlaneEndpoint& endpoint);

 private:
  struct Running;

  const Lookup lookup_;
  std::vector<ResolvedHost> known_;
  std::vector<ResolvedHost> kept_;  // what DNS cannot take away
  std::map<std::string, std::shared_ptr<Running>> running_;
};

}  // namespace bulkhead::sensor
