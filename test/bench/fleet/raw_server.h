// The yardstick: a gRPC server that answers every message at once and does nothing else.
#pragma once

#include <string>

namespace bulkhead::bench {

// Serves SensorLinkService on 127.0.0.1:`port` with gRPC's callback API, as the control plane does, and mutual TLS with
// this certificate, until SIGTERM. Neither checks who calls nor stores anything. Returns an exit status.
int RunRawServer(int port, const std::string& key_path, const std::string& certificate_path, int heartbeat_seconds);

}  // namespace bulkhead::bench
