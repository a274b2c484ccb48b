// Two network namespaces joined by a veth pair: the host under test, whose sockets belong to a cgroup, and a peer
// outside it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "common/unique_fd.h"
#include "harness/cgroup_sandbox.h"

namespace bulkhead::test {

// RFC 5737 and RFC 3849 addresses; both are /24 and /64 on the pair.
inline constexpr char kHost4[] = "192.0.2.1";
inline constexpr char kPeer4[] = "192.0.2.2";
inline constexpr char kHost6[] = "2001:db8::1";
inline constexpr char kPeer6[] = "2001:db8::2";

// A process that makes sockets in its namespace and cgroup and hands them over; a socket stays where it was made, so
// the test can use it like one of its own.
class SocketFactory {
 public:
  // `cgroup`: null for the test's own. `neighbour`: whose namespace it shares; null: it has one of its own.
  explicit SocketFactory(const CgroupSandbox* cgroup, const SocketFactory* neighbour = nullptr);
  ~SocketFactory();
  SocketFactory(const SocketFactory&) = delete;
  SocketFactory& operator=(const SocketFactory&) = delete;

  pid_t pid() const { return pid_; }

  // socket(2) with SOCK_CLOEXEC there. Throws std::runtime_error when it fails.
  UniqueFd Socket(int family, int type, int protocol = 0) const;

  // Runs a shell command there. Throws when it fails.
  void Run(const std::string& command) const;

 private:
  UniqueFd control_;
  pid_t pid_ = -1;
};

class NetSandbox {
 public:
  explicit NetSandbox(const CgroupSandbox& cgroup);

  const SocketFactory& host() const { return host_; }
  const SocketFactory& peer() const { return peer_; }

 private:
  SocketFactory host_;
  SocketFactory peer_;
};

}  // namespace bulkhead::test
