// What the probes say about this kernel, and that the wall is among it.
#include <algorithm>
#include <iostream>

#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE_METHOD(CgroupFixture, "the probes name every mechanism and prove the wall", "[capabilities]") {
  const Capabilities& found = datapath().capabilities();
  for (const Mechanism& mechanism : found.mechanisms) {
    std::cout << (mechanism.available ? "  works    " : "  MISSING  ") << mechanism.name
              << (mechanism.available ? "" : ": ") << mechanism.reason << "\n";
    CHECK(mechanism.available == mechanism.reason.empty());
  }
  for (const char* name :
       {"cgroup_skb", "sockops", "cgroup_connect", "cgroup_sendmsg", "kprobe_tcp_connect", "fentry_tcp_connect",
        "tp_inet_sock_set_state", "ksyscall_execve", "tp_sys_enter_execve", "exec_identity", "lsm_bprm_check",
        "fmod_ret_bprm_check", "lsm_mmap_file", "fmod_ret_mmap_file", "exec_digest", "sock_destroy"}) {
    INFO(name);
    CHECK(std::count_if(found.mechanisms.begin(), found.mechanisms.end(),
                        [name](const Mechanism& m) { return m.name == name; }) == 1);
  }
  CHECK(found.isolation >= Tier::kWall);
  CHECK(found.containment >= Tier::kWall);
  CHECK(found.block_binary >= Tier::kWall);
}

TEST_CASE_METHOD(CgroupFixture, "a second sensor on the same scope is refused", "[capabilities]") {
  CHECK_CODE(OpenDatapath(options()), kFailedPrecondition);
}

TEST_CASE_METHOD(CgroupFixture, "nothing is enforced before the first order", "[capabilities]") {
  Crash();
  REQUIRE_OK(RemoveDatapath(options()));
  Open();
  const ObservedState observed = Observe();
  CHECK(observed.receipt.generation == 0);
  CHECK_FALSE(observed.contained);
  CHECK_FALSE(observed.isolated);
  CHECK(observed.policies.empty());
  CHECK(observed.critical.empty());
  CHECK(observed.receipt.programs.size() >= 7);
}

TEST_CASE("a scope that is no cgroup is refused", "[capabilities]") {
  DatapathOptions options;
  options.scope = "/tmp";
  CHECK_CODE(OpenDatapath(options), kNotFound);
}

}  // namespace
}  // namespace bulkhead::sensor
