// The lab of the network benches.
#include "bench/net_lab.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "harness/packet.h"

namespace bulkhead::bench {
namespace {

// More than one visit opens: a SYN that finds no room is sent again after a second.
constexpr int kBacklog = 1024;

// Address number `index` of the rules: scattered over 11.0.0.0/8, so that they share no long prefix. 0 is the peer.
std::string RuleAddress(uint32_t index, uint32_t variant) {
  if (index == 0) return test::kPeer4;
  const uint32_t a = (11u << 24) | (((index + 1'000'003 * variant) * 2654435761u) >> 8);
  return absl::StrCat(a >> 24, ".", (a >> 16) & 255, ".", (a >> 8) & 255, ".", a & 255);
}

// Takes whatever comes, until the lab ends.
[[noreturn]] void ServePeer(int listener, int datagrams) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<pollfd> waiting{{listener, POLLIN, 0}, {datagrams, POLLIN, 0}};
  static std::array<char, 1 << 18> bytes;
  for (;;) {
    poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) waiting.push_back({accept4(listener, nullptr, nullptr, SOCK_NONBLOCK), POLLIN, 0});
    while (recv(datagrams, bytes.data(), bytes.size(), MSG_DONTWAIT) >= 0) {
    }
    for (size_t i = waiting.size(); i-- > 2;) {
      if (waiting[i].revents == 0) continue;
      const ssize_t got = recv(waiting[i].fd, bytes.data(), bytes.size(), 0);
      if (got > 0 || (got < 0 && errno == EAGAIN)) continue;
      close(waiting[i].fd);
      waiting.erase(waiting.begin() + static_cast<long>(i));
    }
  }
}

double SecondsSince(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void Must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + " failed");
}

}  // namespace

NetLab::NetLab() : forbidden_(net_.peer().Socket(AF_INET, SOCK_DGRAM)) {
  options_.scope = cgroup_.path();
  options_.pin_key = "net-bench";
  const UniqueFd listener = net_.peer().Socket(AF_INET, SOCK_STREAM),
                 datagrams = net_.peer().Socket(AF_INET, SOCK_DGRAM);
  Must(test::Listen(listener, test::At(test::kPeer4, kAllowedPort)) == 0, "listening");
  Must(listen(listener.get(), kBacklog) == 0, "listening");
  Must(test::Bind(datagrams, test::At(test::kPeer4, kAllowedPort)) == 0, "binding");
  Must(test::Bind(forbidden_, test::At(test::kPeer4, kForbiddenPort)) == 0, "binding");
  peer_ = fork();
  if (peer_ == 0) ServePeer(listener.get(), datagrams.get());
}

NetLab::~NetLab() {
  CloseBulkhead();
  kill(peer_, SIGKILL);
  waitpid(peer_, nullptr, 0);
}

pid_t NetLab::StartInHost(const std::function<int()>& body) const {
  const std::string path = absl::StrCat("/proc/", net_.host().pid(), "/ns/net");
  return cgroup_.Fork([&] {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int space = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    return setns(space, CLONE_NEWNET) == 0 ? body() : 1;
  });
}

std::vector<double> NetLab::InHost(size_t values, const std::function<bool(int)>& body) const {
  int ends[2];
  Must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
  const pid_t pid = StartInHost([&] { return body(ends[1]) ? 0 : 1; });
  Must(test::WaitFor(pid) == 0, "a process in the lab");
  std::vector<double> got(values);
  const auto size = static_cast<ssize_t>(values * sizeof(double));
  Must(read(ends[0], got.data(), values * sizeof(double)) == size, "reading from the lab");
  close(ends[0]);
  close(ends[1]);
  return got;
}

void NetLab::OpenBulkhead() {
  auto opened = sensor::OpenDatapath(options_);
  if (!opened.ok()) throw std::runtime_error(std::string(opened.status().message()));
  datapath_ = std::move(*opened);
}

void NetLab::CloseBulkhead() {
  datapath_.reset();
  sensor::RemoveDatapath(options_).IgnoreError();
}

double NetLab::Isolate(uint32_t rules, uint32_t variant) {
  sensor::DesiredState state;
  state.sensor_id = "bench";
  state.generation = ++generation_;
  state.digest[0] = static_cast<uint8_t>(generation_);
  state.digest[1] = 1;
  state.policies.resize(1);
  state.policies[0].id = "22222222-2222-4222-8222-222222222222";
  state.policies[0].policy_template = sensor::PolicyTemplate::kNetworkIsolation;
  state.isolation_rules.resize(rules);
  for (uint32_t i = 0; i < rules; ++i) {
    sensor::IsolationRule& rule = state.isolation_rules[i];
    rule.id = absl::StrCat("rule-", i);
    rule.remote = *IpPrefix::Parse(RuleAddress(i, variant));
    rule.first_port = rule.last_port = kAllowedPort;
    rule.direction = sensor::Direction::kOutbound;
  }
  const auto began = std::chrono::steady_clock::now();
  const absl::Status applied = datapath_->Apply(state);
  if (!applied.ok()) throw std::runtime_error(std::string(applied.message()));
  return SecondsSince(began);
}

double NetLab::LoadNftables(uint32_t rules, bool set, uint32_t variant) {
  const std::string name = absl::StrCat("/tmp/bulkhead-bench-", getpid(), ".nft");
  std::ofstream file(name);
  file << "table inet bench; delete table inet bench; table inet bench {\n";
  if (set) {
    file << "set allowed { type ipv4_addr . inet_service; elements = {\n";
    for (uint32_t i = rules; i-- > 0;)
      file << RuleAddress(i, variant) << " . " << kAllowedPort << (i == 0 ? "" : ",\n");
    file << "} }\n";
  }
  file << "chain output { type filter hook output priority -300; policy drop; oif lo accept; ct direction reply "
          "accept\n";
  if (set) {
    file << "ip daddr . th dport @allowed accept\n";
  } else {
    for (uint32_t i = rules; i-- > 0;)
      file << "ip daddr " << RuleAddress(i, variant) << " th dport " << kAllowedPort << " accept\n";
  }
  file << "}\nchain input { type filter hook input priority -300; policy drop; iif lo accept; ct direction reply "
          "accept\n}\n}\n";
  file.close();
  const auto began = std::chrono::steady_clock::now();
  net_.host().Run("nft -f " + name);
  const double seconds = SecondsSince(began);
  unlink(name.c_str());
  return seconds;
}

void NetLab::FlushNftables() const {
  net_.host().Run("nft flush ruleset");
}

void NetLab::AttachEmptyProgram() {
  const bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  empty_program_.Reset(bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "bench_empty", "GPL", instructions, 2, nullptr));
  const UniqueFd cgroup(open(cgroup_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const bpf_attach_type where : {BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_INGRESS})
    Must(bpf_prog_attach(empty_program_.get(), cgroup.get(), where, BPF_F_ALLOW_MULTI) == 0,
         "attaching an empty program");
}

void NetLab::DetachEmptyProgram() {
  const UniqueFd cgroup(open(cgroup_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const bpf_attach_type where : {BPF_CGROUP_INET_EGRESS, BPF_CGROUP_INET_INGRESS})
    Must(bpf_prog_detach2(empty_program_.get(), cgroup.get(), where) == 0, "detaching the empty program");
  empty_program_.Reset();
}

uint64_t NetLab::TakeForbidden() const {
  uint64_t count = 0;
  char byte;
  while (recv(forbidden_.get(), &byte, 1, MSG_DONTWAIT) >= 0) ++count;
  return count;
}

}  // namespace bulkhead::bench
