// What a connection, a datagram and a megabyte cost across a veth pair, behind nothing, an empty program, Bulkhead and
// nftables; and what happens to traffic while 10 000 rules are replaced.
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <new>

#include "absl/strings/str_cat.h"
#include "bench/net_lab.h"
#include "bench/rounds.h"
#include "harness/packet.h"

namespace bulkhead::bench {
namespace {

constexpr uint32_t kSizes[] = {1, 100, 10000};
constexpr int kRounds = 5;
constexpr int kConnects = 150;
constexpr int kDatagrams = 3000;
constexpr int kMegabytes = 32;
constexpr int kPublications = 10;

// A connected TCP socket, or -1.
int Connect(const test::Address& peer) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const linger reset{1, 0};  // no TIME_WAIT
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  return connect(fd, peer.get(), peer.size) == 0 ? fd : -1;
}

bool NanosOfConnect(const test::Address& peer, double nanos[2]) {
  const Stopwatch watch;
  for (int i = 0; i < kConnects; ++i) {
    const int fd = Connect(peer);
    if (fd < 0) return false;
    close(fd);
  }
  nanos[0] = watch.Processor() / kConnects;
  nanos[1] = watch.Wall() / kConnects;
  return true;
}

bool NanosOfDatagram(const test::Address& peer, double nanos[2]) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const Stopwatch watch;
  for (int i = 0; i < kDatagrams; ++i) {
    if (sendto(fd, "b", 1, 0, peer.get(), peer.size) != 1) return false;
  }
  nanos[0] = watch.Processor() / kDatagrams;
  nanos[1] = watch.Wall() / kDatagrams;
  return close(fd) == 0;
}

bool NanosOfMegabyte(const test::Address& peer, double nanos[2]) {
  static char megabyte[1 << 20];
  const int fd = Connect(peer);
  if (fd < 0) return false;
  const Stopwatch watch;
  for (int i = 0; i < kMegabytes; ++i) {
    for (size_t sent = 0; sent < sizeof(megabyte);) {
      const ssize_t now = send(fd, megabyte + sent, sizeof(megabyte) - sent, MSG_NOSIGNAL);
      if (now <= 0) return false;
      sent += static_cast<size_t>(now);
    }
  }
  nanos[0] = watch.Processor() / kMegabytes;
  nanos[1] = watch.Wall() / kMegabytes;
  return close(fd) == 0;
}

std::vector<double> Measure(const NetLab& lab) {
  const test::Address peer = test::At(test::kPeer4, kAllowedPort);
  return lab.InHost(6, [&peer](int result) {
    double nanos[6];
    return NanosOfConnect(peer, &nanos[0]) && NanosOfDatagram(peer, &nanos[2]) && NanosOfMegabyte(peer, &nanos[4]) &&
           write(result, nanos, sizeof(nanos)) == sizeof(nanos);
  });
}

TEST_CASE("traffic") {
  NetLab lab;
  std::vector<Configuration> configurations;
  configurations.push_back({"nothing", {}, {}});
  configurations.push_back(
      {"empty cgroup program", [&] { lab.AttachEmptyProgram(); }, [&] { lab.DetachEmptyProgram(); }});
  configurations.push_back({"Bulkhead, idle", [&] { lab.OpenBulkhead(); }, [&] { lab.CloseBulkhead(); }});
  for (const uint32_t rules : kSizes) {
    configurations.push_back({absl::StrCat("Bulkhead, isolated, ", rules, " rules"),
                              [&lab, rules] {
                                lab.OpenBulkhead();
                                lab.Isolate(rules);
                              },
                              [&lab] { lab.CloseBulkhead(); }});
  }
  for (const bool set : {true, false}) {
    for (const uint32_t rules : kSizes) {
      configurations.push_back({absl::StrCat("nftables, ", set ? "set" : "linear", ", ", rules, " rules"),
                                [&lab, rules, set] { lab.LoadNftables(rules, set); }, [&lab] { lab.FlushNftables(); }});
    }
  }
  Measure(lab);
  const Measured values = MeasureInTurn(configurations, kRounds, [&] { return Measure(lab); });
  const char* const what[] = {"TCP connect and close, ns of the processor", "the same, ns by the clock",
                              "UDP datagram sent, ns of the processor",     "the same, ns by the clock",
                              "TCP, ns of the processor a megabyte",        "the same, ns by the clock"};
  for (size_t i = 0; i < 6; ++i) PrintBesideFirst(configurations, values, i, what[i]);
}

// Sends to both ports without pause; what the kernel answered.
struct Flood {
  std::atomic<uint64_t> allowed_sent{0}, allowed_refused{0}, forbidden_sent{0}, forbidden_refused{0};
  std::atomic<bool> stop{false};

  int Run() {
    const test::Address allowed = test::At(test::kPeer4, kAllowedPort),
                        forbidden = test::At(test::kPeer4, kForbiddenPort);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    while (!stop) {
      ++(sendto(fd, "b", 1, 0, allowed.get(), allowed.size) == 1 ? allowed_sent : allowed_refused);
      ++(sendto(fd, "b", 1, 0, forbidden.get(), forbidden.size) == 1 ? forbidden_sent : forbidden_refused);
    }
    return 0;
  }
};

void PublishUnderTraffic(NetLab& lab, const char* what, const std::function<double(uint32_t)>& publish) {
  void* const memory = mmap(nullptr, sizeof(Flood), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto* const flood = new (memory) Flood;
  publish(0);
  lab.TakeForbidden();
  const pid_t sender = lab.StartInHost([flood] { return flood->Run(); });
  std::vector<double> millis;
  for (int i = 1; i <= kPublications; ++i) millis.push_back(publish(static_cast<uint32_t>(i)) * 1e3);
  flood->stop = true;
  REQUIRE(test::WaitFor(sender) == 0);
  printf(
      "%-28s %8.1f ms (%.1f to %.1f); meanwhile %llu allowed and %llu forbidden datagrams: %llu refused wrongly, %llu "
      "let by\n",
      what, Median(millis), *std::min_element(millis.begin(), millis.end()),
      *std::max_element(millis.begin(), millis.end()),
      static_cast<unsigned long long>(flood->allowed_sent + flood->allowed_refused),
      static_cast<unsigned long long>(flood->forbidden_sent + flood->forbidden_refused),
      static_cast<unsigned long long>(flood->allowed_refused), static_cast<unsigned long long>(lab.TakeForbidden()));
  munmap(memory, sizeof(Flood));
}

TEST_CASE("10 000 rules replaced under traffic") {
  NetLab lab;
  lab.OpenBulkhead();
  PublishUnderTraffic(lab, "Bulkhead", [&](uint32_t variant) { return lab.Isolate(10000, variant); });
  lab.CloseBulkhead();
  PublishUnderTraffic(lab, "nftables, set", [&](uint32_t variant) { return lab.LoadNftables(10000, true, variant); });
  PublishUnderTraffic(lab, "nftables, linear",
                      [&](uint32_t variant) { return lab.LoadNftables(10000, false, variant); });
}

}  // namespace
}  // namespace bulkhead::bench
