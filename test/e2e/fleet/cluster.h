// Several replicas of the real control plane on one real PostgreSQL, each behind a network that can be cut.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "e2e/fleet/proxy.h"
#include "e2e/postgres.h"
#include "e2e/process.h"

namespace bulkhead::e2e {

// Everything lives below one directory of its own and goes with the object. Not thread safe, but for OperatorChannel.
class Cluster {
 public:
  struct Options {
    int replicas = 2;
    std::string heartbeat_interval = "1s";
    std::vector<std::string> more_arguments;  // for every control plane
    std::string database;                     // --postgres; empty: a PostgreSQL of the cluster's own
    bool wires = false;  // a cable lies between each replica's network and the replica: packets can be lost
  };

  explicit Cluster(const Options& options);
  ~Cluster();

  int size() const { return static_cast<int>(replicas_.size()); }
  // Of its own.
  Postgres& postgres() { return *postgres_; }
  Daemon& replica(int i) { return *replicas_[i].daemon; }
  // The network between the sensors and a replica.
  Proxy& network(int i) { return *replicas_[i].proxy; }
  // Of a replica, with Options::wires.
  const Wire& wire(int i) const { return *replicas_[i].wire; }
  // Returns when it listens.
  void StartReplica(int i);

  // "127.0.0.1:PORT" of a replica: directly, and through its network.
  const std::string& address(int i) const { return replicas_[i].address; }
  std::string sensor_address(int i) const { return "127.0.0.1:" + std::to_string(replicas_[i].proxy->port()); }

  // A connection of its own to a replica as the administrator; directly, so that what is cut is the sensors' network.
  std::shared_ptr<grpc::Channel> OperatorChannel(int i) const { return OperatorChannel(replicas_[i].address); }
  // The same through whatever stands at this address.
  std::shared_ptr<grpc::Channel> OperatorChannel(const std::string& address) const;
  // The administrator's configuration for bulkheadctl; it names replica 0.
  std::string operator_config() const { return directory_ + "/admin/config.yaml"; }
  // Where a replica's key.pem and cert.pem are.
  std::string tls_directory(int i) const { return replicas_[i].state + "/tls/current"; }
  const std::string& trust_bundle() const { return trust_bundle_; }

  // All that a replica has logged.
  std::string ReplicaLog(int i) const;
  // The ends of the programs' logs, for the report of a failure.
  std::string Logs() const;

 private:
  struct Replica {
    std::string state;
    std::string address;
    std::string log;
    std::unique_ptr<Daemon> daemon;
    std::unique_ptr<Wire> wire;
    std::unique_ptr<Proxy> proxy;
  };
  Arguments ControlPlane(const Replica& replica, const Arguments& arguments) const;

  const Options options_;
  const std::string directory_;
  std::unique_ptr<Postgres> postgres_;
  std::string database_;
  std::vector<Replica> replicas_;
  std::string trust_bundle_, operator_key_, operator_chain_;
};

}  // namespace bulkhead::e2e
