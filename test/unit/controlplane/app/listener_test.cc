// The accept loop, also when the process has no descriptor left: the case in which gRPC's own would stop for good.
#include "controlplane/app/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/log.h"
#include "controlplane/app/listen_address.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

class Connections {
 public:
  void Add(UniqueFd fd) {
    absl::MutexLock lock(&mutex_);
    fds_.push_back(std::move(fd));
  }
  size_t size() {
    absl::MutexLock lock(&mutex_);
    return fds_.size();
  }
  bool WaitFor(size_t count) {
    const absl::Time limit = absl::Now() + absl::Seconds(10);
    while (size() < count && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
    return size() >= count;
  }
  void Clear() {
    absl::MutexLock lock(&mutex_);
    fds_.clear();
  }
  int flags() {
    absl::MutexLock lock(&mutex_);
    return fcntl(fds_.at(0).get(), F_GETFL);
  }

 private:
  absl::Mutex mutex_;
  std::vector<UniqueFd> fds_;
};

UniqueFd Connect(uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = ListenAddress::Parse("127.0.0.1:" + std::to_string(port));
  REQUIRE_OK(address);
  REQUIRE(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->socket_address), address->length) == 0);
  return fd;
}

TEST_CASE("connections are accepted on every address, and none after Stop") {
  Connections connections;
  auto listener = Listener::Open({"127.0.0.1:0", "127.0.0.1:0"}, {});
  REQUIRE_OK(listener);
  REQUIRE((*listener)->ports().size() == 2);
  (*listener)->Start([&](UniqueFd fd) { connections.Add(std::move(fd)); });
  const UniqueFd a = Connect((*listener)->ports()[0]);
  const UniqueFd b = Connect((*listener)->ports()[1]);
  CHECK(connections.WaitFor(2));
  CHECK((connections.flags() & O_NONBLOCK) != 0);
  (*listener)->Stop();
  (*listener)->Stop();
  const UniqueFd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = ListenAddress::Parse("127.0.0.1:" + std::to_string((*listener)->ports()[0]));
  CHECK(connect(late.get(), reinterpret_cast<const sockaddr*>(&address->socket_address), address->length) != 0);
}

TEST_CASE("more connections than the rate wait, and all are served") {
  Connections connections;
  auto listener = Listener::Open({"127.0.0.1:0"}, {.rate = 20, .rate_per_address = 1000});
  REQUIRE_OK(listener);
  (*listener)->Start([&](UniqueFd fd) { connections.Add(std::move(fd)); });
  const absl::Time begin = absl::Now();
  std::vector<UniqueFd> clients;
  // Two seconds' worth at once, and one second's more.
  for (int i = 0; i < 60; ++i) clients.push_back(Connect((*listener)->ports()[0]));
  CHECK(connections.WaitFor(60));
  CHECK(absl::Now() - begin > absl::Milliseconds(900));
  // Nor does waiting for a token keep it from being stopped.
  for (int i = 0; i < 30; ++i) clients.push_back(Connect((*listener)->ports()[0]));
  const absl::Time stop = absl::Now();
  (*listener)->Stop();
  CHECK(absl::Now() - stop < absl::Seconds(1));
}

TEST_CASE("an address that opens too many is reset, and takes nothing from the others") {
  Connections connections;
  auto listener = Listener::Open({"127.0.0.1:0"}, {.rate = 1000, .rate_per_address = 10});
  REQUIRE_OK(listener);
  (*listener)->Start([&](UniqueFd fd) { connections.Add(std::move(fd)); });
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(Connect((*listener)->ports()[0]));
  REQUIRE(connections.WaitFor(20));
  absl::SleepFor(absl::Milliseconds(100));
  CHECK(connections.size() < 40);
  char byte = 0;
  CHECK(read(clients.back().get(), &byte, 1) < 0);
  // 127.0.0.2 is another address.
  const size_t before = connections.size();
  const UniqueFd other(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto from = ListenAddress::Parse("127.0.0.2:0");
  const auto to = ListenAddress::Parse("127.0.0.1:" + std::to_string((*listener)->ports()[0]));
  REQUIRE(bind(other.get(), reinterpret_cast<const sockaddr*>(&from->socket_address), from->length) == 0);
  REQUIRE(connect(other.get(), reinterpret_cast<const sockaddr*>(&to->socket_address), to->length) == 0);
  CHECK(connections.WaitFor(before + 1));
}

TEST_CASE("admission forgets addresses, and a clock that goes back changes nothing") {
  absl::Time now = absl::FromUnixSeconds(1790000000);
  Admission admission({.rate = 1e9, .rate_per_address = 1}, now);
  CHECK(admission.Admit("a", now));
  CHECK(admission.Admit("a", now));
  CHECK_FALSE(admission.Admit("a", now));
  CHECK_FALSE(admission.Admit("a", now - absl::Hours(1)));
  CHECK(admission.Admit("a", now + absl::Seconds(1)));
  for (int i = 0; i < 50'000; ++i) admission.Admit(std::to_string(i), now);
  CHECK(admission.addresses() <= 10'000);
  Admission slow({.rate = 2, .rate_per_address = 1000}, now);
  for (int i = 0; i < 4; ++i) CHECK(slow.Admit("b", now));
  CHECK_FALSE(slow.Admit("b", now));
  CHECK(slow.Wait(now) == absl::Milliseconds(500));
  CHECK(slow.Wait(now + absl::Milliseconds(500)) == absl::ZeroDuration());
}

TEST_CASE("what is not served is counted for each address, until it was told") {
  const absl::Time now = absl::FromUnixSeconds(1790000000);
  Admission admission({.rate = 1e9, .rate_per_address = 1}, now);
  for (int i = 0; i < 5; ++i) admission.Admit("a", now);
  CHECK(admission.Admit("b", now));
  CHECK(admission.TakeRefused("a") == 3);
  CHECK(admission.TakeRefused("a") == 0);
  CHECK(admission.TakeRefused("b") == 0);
  CHECK(admission.TakeRefused("c") == 0);
}

TEST_CASE("an address that is taken is named") {
  auto first = Listener::Open({"127.0.0.1:0"}, {});
  REQUIRE_OK(first);
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->ports()[0]);
  const auto second = Listener::Open({taken}, {});
  REQUIRE_FALSE(second.ok());
  CHECK_THAT(std::string(second.status().message()), Catch::Contains(taken));
}

TEST_CASE("out of descriptors it waits, and goes on when there are some again") {
  Connections connections;
  auto listener = Listener::Open({"127.0.0.1:0"}, {});
  REQUIRE_OK(listener);
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Connect((*listener)->ports()[0]));  // wait in the backlog

  // Also makes the logger now: the sanitizer's look at a new type needs descriptors.
  LogWarning("test: descriptors run out on purpose");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const UniqueFd highest(dup(clients.back().get()));
  // Room for three more, whatever this process has open.
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(highest.get()) + 4;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  (*listener)->Start([&](UniqueFd fd) { connections.Add(std::move(fd)); });
  CHECK(connections.WaitFor(3));
  absl::SleepFor(absl::Milliseconds(300));  // several rounds of waiting
  const size_t while_tight = connections.size();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(while_tight < 20);
  CHECK(connections.WaitFor(20));
  (*listener)->Stop();
}

}  // namespace
}  // namespace bulkhead::controlplane
