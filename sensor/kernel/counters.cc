// Names and sums the kernel's per-CPU counters.
#include "sensor/kernel/counters.h"

#include <bpf/libbpf.h>

#include <array>
#include <numeric>

#include "bulkhead/abi.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

// In the order of enum bh_counter.
constexpr std::array kNames = {
    "drop_egress_contained", "drop_egress_no_rule",   "drop_ingress_no_rule", "drop_fragment",
    "drop_ip_options",       "drop_extension_header", "drop_truncated",       "shadow_drop",
    "deny_connect",          "deny_sendmsg",          "shadow_connect",       "kill_connect",
    "seen_tcp_connect",      "kill_exec_path",        "kill_exec_file",       "deny_exec",
    "deny_code_mapping",     "shadow_exec",           "fail_no_rule_set",     "fail_no_scratch",
    "fail_path_read",        "fail_digest",           "fail_signal",          "fail_flow_record",
    "fail_socket_mark",      "fail_policy_stat",      "fail_event",           "drop_interface",
    "drop_resolution",       "fail_shadow_list",      "fail_allow_list",      "fail_learn",
};
static_assert(kNames.size() == BH_COUNTERS, "a counter without a name, or a name without a counter");

}  // namespace

absl::StatusOr<std::vector<Counter>> ReadCounters(const BpfMap& map) {
  std::vector<uint64_t> per_cpu(libbpf_num_possible_cpus());
  std::vector<Counter> counters;
  for (uint32_t i = 0; i < kNames.size(); ++i) {
    RETURN_IF_ERROR(map.Lookup(&i, per_cpu.data()));
    counters.push_back({kNames[i], std::accumulate(per_cpu.begin(), per_cpu.end(), uint64_t{0})});
  }
  return counters;
}

}  // namespace bulkhead::sensor
