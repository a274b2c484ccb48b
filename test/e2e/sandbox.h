// A cgroup to be contained, and somebody to talk to: a network namespace behind a veth pair.
#pragma once

#include <memory>
#include <string>

#include "e2e/process.h"

namespace bulkhead::e2e {

// Makes both, starts an echo service on either side, and removes everything at the end. Needs root. Names carry the
// test's pid.
class Sandbox {
 public:
  explicit Sandbox(const std::string& directory);
  ~Sandbox();

  // The cgroup v2 directory to give to a sensor as its scope.
  const std::string& cgroup() const { return cgroup_; }

  // One attempt from inside the cgroup: kind is tcp, udp or icmp, family 4 or 6. True: answered.
  // `cgroup`: the one below it that the attempt is made from; empty: itself.
  bool Out(const std::string& kind, int family, const std::string& cgroup = "") const;
  // A new TCP connection from the peer to the service in the cgroup.
  bool In(int family) const;
  // Executes a program from inside the cgroup; "open", or "cut WHY" such as "cut SIGKILL".
  std::string Execute(const std::string& path) const;

  // Command line of a process that runs inside the cgroup.
  Arguments Inside(const Arguments& command) const;
  // Command line of a connection that is held from inside the cgroup; it prints its state to its log at each change.
  Arguments HoldConnection() const;

  const std::string& peer4() const { return peer4_; }
  int peer_port() const { return kPeerPort; }

 private:
  static constexpr int kPeerPort = 7100;
  static constexpr int kServicePort = 7101;

  Arguments Peer(const Arguments& command) const;
  void Remove();

  std::string cgroup_;
  std::string name_space_;
  std::string host4_, peer4_, host6_, peer6_;
  std::string link_;
  std::unique_ptr<Daemon> peer_service_;
  std::unique_ptr<Daemon> service_;
};

// Path of a program of this build.
std::string Program(const std::string& name);

}  // namespace bulkhead::e2e
