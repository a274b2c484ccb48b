// Several TCP connections at once.
#include "sensor/link/tcp_prober.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "absl/time/time.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

constexpr auto kGraceForOthers = std::chrono::milliseconds(50);

// Not the wall clock: root on the host can set it, and a proof that ends early takes a wall down.
using Clock = std::chrono::steady_clock;

// The socket of an attempt that runs; invalid when `error` says how it ended.
struct Attempt {
  UniqueFd socket;
  int error = 0;
};

int Connect(int fd, const ControlPlaneEndpoint& endpoint) {
  const auto& bytes = endpoint.address.bytes();
  if (endpoint.address.is_ipv4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, bytes.data() + 12, sizeof(address.sin_addr));
    return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::memcpy(&address.sin6_addr, bytes.data(), sizeof(address.sin6_addr));
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

Attempt Start(const ControlPlaneEndpoint& endpoint) {
  Attempt attempt;
  const int family = endpoint.address.is_ipv4() ? AF_INET : AF_INET6;
  attempt.socket.Reset(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  attempt.error = attempt.socket.valid() ? Connect(attempt.socket.get(), endpoint) : errno;
  if (attempt.error != EINPROGRESS) attempt.socket.Reset();
  return attempt;
}

void Finish(Attempt* attempt) {
  socklen_t size = sizeof(attempt->error);
  if (getsockopt(attempt->socket.get(), SOL_SOCKET, SO_ERROR, &attempt->error, &size) != 0) attempt->error = errno;
  attempt->socket.Reset();
}

// Waits once; false when nothing runs any more or the time is over.
bool WaitForSome(std::vector<Attempt>* attempts, Clock::time_point deadline) {
  std::vector<pollfd> waiting;
  std::vector<Attempt*> owners;
  for (Attempt& attempt : *attempts) {
    if (!attempt.socket.valid()) continue;
    waiting.push_back({attempt.socket.get(), POLLOUT, 0});
    owners.push_back(&attempt);
  }
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (waiting.empty() || millis <= 0) return false;
  const int ready = poll(waiting.data(), waiting.size(), static_cast<int>(millis));
  for (size_t i = 0; ready > 0 && i < waiting.size(); ++i) {
    if (waiting[i].revents != 0) Finish(owners[i]);
  }
  return ready != 0;
}

bool OneWorked(const std::vector<Attempt>& attempts) {
  return std::any_of(attempts.begin(), attempts.end(),
                     [](const Attempt& attempt) { return !attempt.socket.valid() && attempt.error == 0; });
}

}  // namespace

std::vector<int> TryTcp(const std::vector<ControlPlaneEndpoint>& endpoints, absl::Duration timeout) {
  Clock::time_point deadline = Clock::now() + absl::ToChronoNanoseconds(timeout);
  std::vector<Attempt> attempts;
  for (const ControlPlaneEndpoint& endpoint : endpoints) attempts.push_back(Start(endpoint));
  while (WaitForSome(&attempts, deadline)) {
    if (OneWorked(attempts)) deadline = std::min<Clock::time_point>(deadline, Clock::now() + kGraceForOthers);
  }
  std::vector<int> errors;
  for (const Attempt& attempt : attempts) errors.push_back(attempt.socket.valid() ? ETIMEDOUT : attempt.error);
  return errors;
}

}  // namespace bulkhead::sensor
