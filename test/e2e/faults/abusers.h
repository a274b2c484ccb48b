// Clients that misbehave, each from an address of its own, for as long as they live.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "e2e/fleet/cluster.h"
#include "e2e/fleet/sim_sensor.h"

namespace bulkhead::e2e {

class Abuser {
 public:
  virtual ~Abuser() = default;
  // How often it did what it does.
  virtual uint64_t done() const = 0;
};

// Connections that begin a TLS handshake and never go on. Needs no identity.
std::unique_ptr<Abuser> HalfOpenHandshakes(Cluster& cluster, const std::string& source);
// A new connection and stream as often as it can, each given up after its hello.
std::unique_ptr<Abuser> HelloFlood(Cluster& cluster, const std::string& source, const SimIdentity& identity);
// Streams that say nothing, many on each connection.
std::unique_ptr<Abuser> HalfOpenStreams(Cluster& cluster, const std::string& source, const SimIdentity& identity);
// Messages of 3 MiB, which are taken in and refused, and of 5 MiB, which are more than the server takes.
std::unique_ptr<Abuser> GiantMessages(Cluster& cluster, const std::string& source, const SimIdentity& identity);
// Beats as fast as it can and never reads an answer.
std::unique_ptr<Abuser> SlowReader(Cluster& cluster, const std::string& source, const SimIdentity& identity);

}  // namespace bulkhead::e2e
