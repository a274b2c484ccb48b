// One attempt at something that Bulkhead may cut: a packet, a connection, an execution.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <string>

namespace bulkhead::tour {

// What came of an attempt.
struct Outcome {
  bool open = false;   // it got through and was answered
  std::string detail;  // why not, such as "EPERM" or "no answer"; empty when open
  double millis = 0;   // how long the attempt took
};

// Where to; IPv4 or IPv6.
struct Destination {
  sockaddr_storage address{};
  socklen_t length = 0;
  int family = AF_UNSPEC;
};

// False when `text` is not an IPv4 or IPv6 address. `port` is in host byte order and is ignored by ICMP.
bool ParseDestination(const std::string& text, int port, Destination* destination);

// Monotonic milliseconds.
double NowMillis();

// Connects, sends a byte and waits for its echo.
Outcome TryTcp(const Destination& to, int timeout_millis);
// Sends a datagram and waits for its echo.
Outcome TryUdp(const Destination& to, int timeout_millis);
// Sends an echo request from a raw socket (root) and waits for the reply.
Outcome TryIcmp(const Destination& to, int timeout_millis);
// Executes a program without arguments and waits for it; open when it ran and exited with 0.
Outcome TryExec(const std::string& path);

// Whether the kernel takes a datagram at all: the quickest way to see a wall go up. Does not wait for an answer.
Outcome TrySend(int socket, const Destination& to);

// A byte there and back on a connected TCP socket.
Outcome TryEcho(int socket, int timeout_millis);
// A connected TCP socket, or -1 with errno set.
int ConnectTcp(const Destination& to, int timeout_millis);

}  // namespace bulkhead::tour
