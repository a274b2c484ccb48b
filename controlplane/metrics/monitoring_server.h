// Plain HTTP for those who look from outside: /metrics, /healthz, /readyz.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace bulkhead::controlplane {

// Apart from the gRPC port, because it asks for no certificate: whoever reaches it sees counts, never a name or a
// secret, and can change nothing.
class MonitoringServer {
 public:
  struct Pages {
    std::function<std::string()> metrics;
    // Whether the process should get work, and a text that says why not. The text holds nothing secret.
    std::function<std::pair<bool, std::string>()> ready;
  };

  // Listens at once on ADDR:PORT, numeric; port 0: any free one. FailedPrecondition says why it cannot.
  static absl::StatusOr<std::unique_ptr<MonitoringServer>> Start(const std::string& address, Pages pages);
  // Returns when the last request is answered.
  ~MonitoringServer();

  uint16_t port() const { return port_; }

 private:
  class Http;

  explicit MonitoringServer(std::unique_ptr<Http> http);

  std::unique_ptr<Http> http_;
  uint16_t port_ = 0;
};

}  // namespace bulkhead::controlplane
