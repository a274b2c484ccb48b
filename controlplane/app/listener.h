// Accepts connections and hands them on, and survives a flood of them.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/unique_fd.h"
#include "controlplane/app/admission.h"

namespace bulkhead::controlplane {

// gRPC's own listener stops for good when the process once runs out of descriptors (CVE-2023-4785, open in Debian 12),
// which anybody can bring about without a certificate. This one waits and goes on.
class Listener {
 public:
  // Gets each connection: non-blocking, close-on-exec, TCP_NODELAY. Called from the listener's thread.
  using OnConnection = std::function<void(UniqueFd)>;
  // Told of each connection, from the same thread, and whether it was admitted.
  using OnAdmission = std::function<void(bool admitted)>;

  // Binds and listens on every address, "ADDR:PORT". Errors name the address.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const std::vector<std::string>& addresses,
                                                        const Admission::Limits& limits);
  ~Listener() { Stop(); }

  // Starts to accept. Call once.
  void Start(
      OnConnection on_connection, OnAdmission on_admission = [](bool) {});
  // Stops to accept and closes the sockets. May be called again.
  void Stop();

  // Ports that it listens on, in the order of the addresses; differs from what was asked where that was 0.
  const std::vector<uint16_t>& ports() const { return ports_; }

 private:
  // Lines of the log about refused connections; each says how many of its address there were since the last.
  static constexpr double kComplaintsPerSecond = 0.5;

  explicit Listener(const Admission::Limits& limits)
      : admission_(limits, absl::Now()), complaints_(kComplaintsPerSecond, absl::Now()) {}
  absl::Status Bind(const std::string& text);
  void Loop();
  // Takes waiting connections. False when out of descriptors or memory.
  bool AcceptSome(int socket);

  std::vector<UniqueFd> sockets_;
  std::vector<uint16_t> ports_;
  UniqueFd wake_;
  // Says whose connections are not served, each address and all of them at a bounded rate.
  void Complain(const sockaddr_storage& peer);

  Admission admission_;     // of the thread
  TokenBucket complaints_;  // of the thread
  OnConnection on_connection_;
  OnAdmission on_admission_;
  std::thread thread_;
};

}  // namespace bulkhead::controlplane
