// Nanoseconds that the wall takes for one packet with 1 to 100 000 rules, beside an empty program of the same kind.
#include <bpf/bpf.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/unique_fd.h"
#include "harness/cgroup_sandbox.h"
#include "harness/status_matchers.h"
#include "sensor/kernel/kernel.h"

namespace bulkhead::sensor {
namespace {

constexpr uint32_t kRepeats = 20000;
constexpr int kRounds = 15;
// The wall lets loopback by unseen, and that is what a test run uses by default.
constexpr char kInterface[] = "bench0";

// A frame with an IPv4 header, its checksum left out: the hook does not look at it.
std::vector<uint8_t> TcpSyn(uint32_t destination) {
  std::vector<uint8_t> frame(14 + 20 + 20);
  frame[12] = 0x08;
  uint8_t* ip = &frame[14];
  ip[0] = 0x45;
  ip[3] = 40;
  ip[8] = 64;
  ip[9] = 6;
  ip[12] = 10, ip[15] = 1;
  for (int i = 0; i < 4; ++i) ip[16 + i] = static_cast<uint8_t>(destination >> (24 - 8 * i));
  uint8_t* tcp = ip + 20;
  tcp[0] = 0xc0;  // source port 49152
  tcp[2] = 443 >> 8, tcp[3] = 443 & 0xff;
  tcp[12] = 0x50;
  tcp[13] = 0x02;
  return frame;
}

// Address number `index` of the rules: scattered over 11.0.0.0/8, so that they share no long prefix.
uint32_t RuleAddress(uint32_t index) {
  return (11u << 24) | ((index * 2654435761u) >> 8);
}

std::vector<IsolationRule> Rules(uint32_t count) {
  std::vector<IsolationRule> rules(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t a = RuleAddress(i);
    rules[i].id = absl::StrCat("rule-", i);
    rules[i].remote = *IpPrefix::Parse(absl::StrCat(a >> 24, ".", (a >> 16) & 255, ".", (a >> 8) & 255, ".", a & 255));
    rules[i].first_port = 443;
    rules[i].last_port = static_cast<uint16_t>(443 + i % 7);
    rules[i].protocol = 6;
    rules[i].direction = Direction::kOutbound;
  }
  return rules;
}

// One run of kRepeats: nanoseconds a packet, and what the program returned.
std::pair<double, uint32_t> Measure(int program, std::vector<uint8_t> frame) {
  __sk_buff context{};
  context.ifindex = if_nametoindex(kInterface);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
              .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = static_cast<int>(kRepeats));
  REQUIRE(bpf_prog_test_run_opts(program, &options) == 0);
  return {options.duration, options.retval};
}

UniqueFd EmptyProgram() {
  const bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_INET_EGRESS);
  return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "bench_empty", "GPL", instructions, 2, &options));
}

UniqueFd EgressProgram(Datapath& datapath) {
  const absl::StatusOr<ObservedState> observed = datapath.Observe();
  REQUIRE_OK(observed.status());
  for (const AttachedProgram& program : observed->receipt.programs) {
    if (program.name == "bh_egress") return UniqueFd(bpf_prog_get_fd_by_id(program.program_id));
  }
  return UniqueFd();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// The yardstick and the wall alternate, so that a change of the machine's speed meets both.
void Compare(int empty, int egress, uint32_t rules, uint32_t destination, const char* what, uint32_t wanted) {
  std::vector<double> base, wall, ratio;
  for (int round = 0; round < kRounds; ++round) {
    base.push_back(Measure(empty, TcpSyn(destination)).first);
    const auto [nanos, verdict] = Measure(egress, TcpSyn(destination));
    REQUIRE(verdict == wanted);
    wall.push_back(nanos);
    ratio.push_back(nanos / base.back());
  }
  printf("%6u rules, %-7s %7.0f ns   empty program %5.0f ns   %5.1fx\n", rules, what, Median(wall), Median(base),
         Median(ratio));
}

TEST_CASE("ns per packet") {
  REQUIRE(unshare(CLONE_NEWNET) == 0);
  REQUIRE(system("ip link add bench0 type veth peer name bench1 && ip link set bench0 up") == 0);
  test::CgroupSandbox cgroup;
  DatapathOptions options;
  options.scope = cgroup.path();
  auto datapath = OpenDatapath(options);
  REQUIRE_OK(datapath.status());
  const UniqueFd empty = EmptyProgram();
  REQUIRE(empty.valid());
  DesiredState state;
  state.sensor_id = "bench";
  state.digest[0] = 1;
  state.policies.resize(1);
  state.policies[0].id = "22222222-2222-4222-8222-222222222222";
  state.policies[0].name = "network-isolation";
  state.policies[0].policy_template = PolicyTemplate::kNetworkIsolation;
  for (const uint32_t count : {1u, 100u, 1000u, 10000u, 100000u}) {
    ++state.generation;
    state.isolation_rules = Rules(count);
    REQUIRE_OK((*datapath)->Apply(state));
    const UniqueFd egress = EgressProgram(**datapath);
    REQUIRE(egress.valid());
    Compare(empty.get(), egress.get(), count, RuleAddress(count / 2), "allowed", 1);
    Compare(empty.get(), egress.get(), count, (10u << 24) | 2, "denied", 0);
  }
  // What a packet pays that is in none of sixteen scopes.
  std::vector<std::unique_ptr<test::CgroupSandbox>> scopes;
  state.policies.clear();
  state.isolation_rules.clear();
  ++state.generation;
  for (int i = 0; i < BH_MAX_SCOPED_WALLS; ++i) {
    const std::string name = absl::StrCat("scope", i);
    scopes.push_back(std::make_unique<test::CgroupSandbox>(absl::StrCat(cgroup.path(), "/", name)));
    Policy& policy = state.policies.emplace_back();
    policy.id = name;
    policy.policy_template = PolicyTemplate::kNetworkIsolation;
    policy.scope = PolicyScope{PolicyScope::Kind::kCgroup, cgroup.path().substr(cgroup.path().rfind('/')) + "/" + name};
  }
  REQUIRE_OK((*datapath)->Apply(state));
  Compare(empty.get(), EgressProgram(**datapath).get(), 0, (10u << 24) | 2, "scoped", 1);
  scopes.clear();
  datapath->reset();
  REQUIRE_OK(RemoveDatapath(options));
}

}  // namespace
}  // namespace bulkhead::sensor
