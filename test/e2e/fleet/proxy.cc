// A network between clients and one server on this machine, which can fail in the ways that networks fail.
#include "e2e/fleet/proxy.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::e2e {
namespace {

constexpr size_t kBuffer = 256 << 10;
constexpr int kTickMillis = 200;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

UniqueFd TcpSocket() {
  return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void NoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// False at the end of the connection.
bool Fill(int fd, std::string* buffer) {
  char data[65536];
  while (buffer->size() < kBuffer) {
    const ssize_t got = read(fd, data, sizeof(data));
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    buffer->append(data, static_cast<size_t>(got));
  }
  return true;
}

bool Drain(int fd, std::string* buffer) {
  while (!buffer->empty()) {
    const ssize_t put = send(fd, buffer->data(), buffer->size(), MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    buffer->erase(0, static_cast<size_t>(put));
  }
  return true;
}

// What came in goes out, also when it was the last. False at the end of the connection.
bool Pass(int from, int to, std::string* buffer) {
  const bool open = Fill(from, buffer);
  return Drain(to, buffer) && open;
}

void Reset(int fd) {
  const linger now{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

}  // namespace

Proxy::Proxy(int server_port, const Wire* wire, std::string source)
    : server_port_(server_port), wire_(wire), source_(std::move(source)), listener_(TcpSocket()) {
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_.get(), 1024) != 0 ||
      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  port_ = ntohs(address.sin_port);
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  thread_ = std::thread([this] { Loop(); });
}

Proxy::~Proxy() {
  stop_ = true;
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void Proxy::Set(State state) {
  state_ = state;
  eventfd_write(wake_.get(), 1);
}

void Proxy::Cut() {
  cut_ = true;
  eventfd_write(wake_.get(), 1);
}

UniqueFd Proxy::ServerSocket() const {
  if (wire_ != nullptr) return wire_->FarSocket();
  UniqueFd fd = TcpSocket();
  if (source_.empty()) return fd;
  sockaddr_in from = Loopback(0);
  inet_pton(AF_INET, source_.c_str(), &from.sin_addr);
  bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from));
  return fd;
}

void Proxy::Accept() {
  for (;;) {
    Pipe pipe;
    pipe.client.Reset(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!pipe.client.valid()) return;
    pipe.server = ServerSocket();
    NoDelay(pipe.client.get());
    NoDelay(pipe.server.get());
    sockaddr_in server = Loopback(server_port_);
    if (wire_ != nullptr) inet_pton(AF_INET, wire_->near_address().c_str(), &server.sin_addr);
    const int connected = connect(pipe.server.get(), reinterpret_cast<const sockaddr*>(&server), sizeof(server));
    if (connected != 0 && errno != EINPROGRESS) {
      Reset(pipe.client.get());
      continue;
    }
    pipe.connecting = connected != 0;
    pipes_.push_back(std::move(pipe));
  }
}

bool Proxy::Move(Pipe& pipe, State state, short server_events) {
  if (pipe.connecting) {
    if (server_events == 0) return true;
    if ((server_events & (POLLERR | POLLHUP)) != 0) return false;
    pipe.connecting = false;
  }
  // In a network that is cut nobody hears that the other side has closed.
  const bool up = state == State::kForward || state == State::kDropToClient;
  const bool down = state == State::kForward || state == State::kDropToServer;
  if (up && !Pass(pipe.client.get(), pipe.server.get(), &pipe.to_server)) return false;
  return !down || Pass(pipe.server.get(), pipe.client.get(), &pipe.to_client);
}

void Proxy::Loop() {
  while (!stop_) {
    const State state = state_;
    const bool up = state == State::kForward || state == State::kDropToClient;
    const bool down = state == State::kForward || state == State::kDropToServer;
    std::vector<pollfd> watched = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Pipe& pipe : pipes_) {
      const auto events = [](bool in, bool out) { return static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0)); };
      const short client = events(up && pipe.to_server.size() < kBuffer, down && !pipe.to_client.empty());
      const short server =
          pipe.connecting ? POLLOUT : events(down && pipe.to_client.size() < kBuffer, up && !pipe.to_server.empty());
      // A negative descriptor is not watched at all: poll reports a hang-up whatever was asked for.
      watched.push_back({client == 0 ? -1 : pipe.client.get(), client, 0});
      watched.push_back({server == 0 ? -1 : pipe.server.get(), server, 0});
    }
    poll(watched.data(), watched.size(), kTickMillis);
    eventfd_t count = 0;
    eventfd_read(wake_.get(), &count);
    const bool cut = cut_.exchange(false);
    size_t at = 2;
    for (auto pipe = pipes_.begin(); pipe != pipes_.end(); at += 2) {
      if (!cut && Move(*pipe, state_, watched[at + 1].revents)) {
        ++pipe;
        continue;
      }
      if (cut) {
        Reset(pipe->client.get());
        Reset(pipe->server.get());
      }
      pipe = pipes_.erase(pipe);
    }
    if (watched[1].revents != 0) Accept();
  }
}

}  // namespace bulkhead::e2e
