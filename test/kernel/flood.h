// A flood from the host under test that is judged at the peer: what arrived there got past the wall.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "common/unique_fd.h"
#include "harness/net_sandbox.h"

namespace bulkhead::test {

// Sends to the peer without a pause, from construction to destruction, each time around: a datagram through sendto(2),
// one through a socket that was connected before any wall, and a SYN.
class Flood {
 public:
  Flood(const SocketFactory& host, const SocketFactory& peer);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  // Returns once each has been tried some times after the call.
  void WaitForMore() const;

  // Datagrams and TCP segments that reached the peer since the last call.
  uint64_t Arrived();

  uint64_t tried() const { return tried_; }

 private:
  void Run();

  UniqueFd loose_;
  UniqueFd connected_;
  UniqueFd stream_;
  UniqueFd peer_udp_;
  UniqueFd peer_tcp_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> tried_{0};
  std::thread thread_;
};

}  // namespace bulkhead::test
