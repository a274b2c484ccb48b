// Sends on one thread; counts with raw sockets in the peer's namespace.
#include "kernel/flood.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <stdexcept>

#include "harness/packet.h"

namespace bulkhead::test {
namespace {

constexpr uint16_t kPort = 9000;

uint64_t Drain(const UniqueFd& fd) {
  char packet[2048];
  uint64_t count = 0;
  while (recv(fd.get(), packet, sizeof(packet), MSG_DONTWAIT) > 0) ++count;
  return count;
}

}  // namespace

Flood::Flood(const SocketFactory& host, const SocketFactory& peer)
    : loose_(host.Socket(AF_INET, SOCK_DGRAM)),
      connected_(host.Socket(AF_INET, SOCK_DGRAM)),
      stream_(host.Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)),
      peer_udp_(peer.Socket(AF_INET, SOCK_RAW, IPPROTO_UDP)),
      peer_tcp_(peer.Socket(AF_INET, SOCK_RAW, IPPROTO_TCP)) {
  const Address to = At(kPeer4, kPort);
  if (connect(connected_.get(), to.get(), to.size) != 0) throw std::runtime_error("start a flood before the wall");
  thread_ = std::thread([this] { Run(); });
}

Flood::~Flood() {
  stop_ = true;
  thread_.join();
}

void Flood::Run() {
  const Address to = At(kPeer4, kPort);
  while (!stop_) {
    sendto(loose_.get(), "flood", 5, MSG_DONTWAIT, to.get(), to.size);
    send(connected_.get(), "flood", 5, MSG_DONTWAIT);
    connect(stream_.get(), to.get(), to.size);
    ++tried_;
  }
}

void Flood::WaitForMore() const {
  const uint64_t start = tried_;
  while (tried_ < start + 100) std::this_thread::yield();
}

uint64_t Flood::Arrived() {
  return Drain(peer_udp_) + Drain(peer_tcp_);
}

}  // namespace bulkhead::test
