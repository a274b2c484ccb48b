// What the tour's traffic talks to: TCP and UDP echo on one port.
#pragma once

namespace bulkhead::tour {

// Echoes on `port` (TCP and UDP, IPv4 and IPv6) until the process is ended. Prints "ready" once it listens. Returns the
// exit code when it cannot listen.
int ServeEcho(int port);

}  // namespace bulkhead::tour
