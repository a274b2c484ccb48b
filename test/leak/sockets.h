// The few socket calls that every probe makes, with errors in words.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace bulkhead::leak {

// An IPv4 or IPv6 address and port; a link-local one gets the scope of kInterface.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};
Endpoint MakeEndpoint(const std::string& address, uint16_t port);

absl::StatusOr<UniqueFd> OpenSocket(int family, int type, int protocol);

// Connects, waiting at most half a second: the wall may drop silently.
absl::Status Connect(int fd, const Endpoint& to);

absl::Status Send(int fd, const std::string& data);
absl::Status SendTo(int fd, const std::string& data, const Endpoint& to);

// Reads until `token` was seen or a second passed; DeadlineExceeded when it did not come.
absl::Status AwaitToken(int fd, const std::string& token);

// Runs a bash script, silently, up to its first command that fails; an error quotes the script.
absl::Status Run(const std::string& script);

// The Internet checksum (RFC 1071) of `data`, in network byte order.
uint16_t Checksum(const std::string& data);

// A UDP datagram in an IPv4 packet from kOwnAddress4 to kPeer4, complete with checksums.
std::string Ipv4UdpPacket(const std::string& payload, uint16_t port, const std::string& source);

// An Ethernet frame from kOwnMac to kPeerMac; `ether_type` in host byte order.
std::string FrameToPeer(uint16_t ether_type, const std::string& payload);

}  // namespace bulkhead::leak
