// Enforcement outlives the sensor, and drift is repaired.
#include <bpf/bpf.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "bulkhead/abi.h"
#include "harness/temp_dir.h"
#include "kernel/fixture.h"
#include "kernel/flood.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::Flood;
using test::kPeer4;

TEST_CASE_METHOD(NetFixture, "kill -9 leaves the wall, and a new sensor adopts it without a gap", "[adopt]") {
  Flood flood(host(), peer());
  Apply({Isolation()});
  const uint64_t generation = Observe().receipt.generation;
  flood.WaitForMore();
  flood.Arrived();
  Crash();
  flood.WaitForMore();
  Open();
  flood.WaitForMore();
  const ObservedState observed = Observe();
  CHECK(flood.Arrived() == 0);
  CHECK(observed.isolated);
  CHECK(observed.receipt.generation == generation);
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].policy_id == kIsolateId);
  CHECK(observed.policies[0].hits > 0);
  REQUIRE_OK(datapath().Maintain());
  flood.WaitForMore();
  Apply({Isolation()});
  flood.WaitForMore();
  CHECK(flood.Arrived() == 0);
}

TEST_CASE_METHOD(NetFixture, "no packet sees parts of two rule sets", "[adopt]") {
  // Both sets forbid the flood's address, each in its own way: a mixture would let it through.
  const std::vector<IsolationRule> odd = {Rule("192.0.2.0/25", 1, 8999, 17, Direction::kOutbound)};
  std::vector<IsolationRule> even;
  for (int i = 0; i < 40; ++i) even.push_back(Rule(kPeer4, 9001 + 2 * i, 9001 + 2 * i, 17, Direction::kOutbound));
  Flood flood(host(), peer());
  Apply({Isolation()}, odd);
  flood.WaitForMore();
  flood.Arrived();
  for (int i = 0; i < 10; ++i) {
    Apply({Isolation()}, i % 2 == 0 ? even : odd);
    flood.WaitForMore();
  }
  CHECK(flood.Arrived() == 0);
}

TEST_CASE_METHOD(CgroupFixture, "blocks survive kill -9, with their hits", "[adopt]") {
  const test::TempDir directory;
  const std::string victim = directory.path() + "/victim";
  std::filesystem::copy_file("/bin/true", victim);
  Apply({Block(victim)});
  std::filesystem::create_hard_link(victim, victim + "2");
  cgroup().Execute(victim, {"true"});
  Crash();
  CHECK(WIFSIGNALED(cgroup().Execute(victim + "2", {"true"})));
  Open();
  REQUIRE(Observe().policies.size() == 1);
  CHECK(Observe().policies[0].hits == 2);
  std::filesystem::remove(victim);
  Apply({Block(victim)});  // the path leads nowhere now; the identity that the kernel holds must not be lost
  CHECK(WIFSIGNALED(cgroup().Execute(victim + "2", {"true"})));
}

TEST_CASE_METHOD(NetFixture, "what somebody changes in the kernel is put back", "[adopt]") {
  Apply({Isolation()});
  const UniqueFd listener = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(test::Listen(listener, At(kPeer4, 9100)) == 0);
  const auto reaches = [&] { return Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 9100)) == 0; };
  const auto repaired = [&] {
    const absl::StatusOr<std::vector<std::string>> repairs = datapath().Maintain();
    REQUIRE_OK(repairs);
    return repairs->size();
  };
  CHECK(repaired() == 0);
  const uint32_t zero = 0;

  SECTION("the active word") {
    const BpfMap active = BpfMap::OpenPinned(pins() + "/bh_active").value();
    REQUIRE_OK(active.Update(&zero, &zero));
    CHECK(reaches());
    CHECK(repaired() == 1);
  }
  SECTION("a slot's map is taken away: closed, not open") {
    const BpfMap active = BpfMap::OpenPinned(pins() + "/bh_active").value();
    const BpfMap config = BpfMap::OpenPinned(pins() + "/bh_config").value();
    const uint32_t slot = active.Get<uint32_t>(zero).value() - 1;
    REQUIRE_OK(config.Delete(&slot));
    CHECK_FALSE(reaches());
    CHECK(repaired() == 1);
  }
  SECTION("a link is detached") {
    const int link = bpf_obj_get((pins() + "/link_bh_egress").c_str());
    REQUIRE(bpf_link_detach(link) == 0);
    close(link);
    CHECK(repaired() == 1);
  }
  SECTION("pins are removed") {
    REQUIRE(unlink((pins() + "/link_bh_egress").c_str()) == 0);
    REQUIRE(unlink((pins() + "/bh_rules").c_str()) == 0);
    CHECK(repaired() == 2);
    CHECK(access((pins() + "/bh_rules").c_str(), F_OK) == 0);
  }
  SECTION("a link is given another program") {
    const int link = bpf_obj_get((pins() + "/link_bh_egress").c_str());
    const bpf_insn allow[] = {{.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                              {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_CGROUP_INET_EGRESS);
    const int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "other", "GPL", allow, 2, &options);
    REQUIRE(bpf_link_update(link, program, nullptr) == 0);
    close(program);
    close(link);
    CHECK(repaired() == 1);
  }
  SECTION("the control plane's addresses") {
    const BpfMap control_plane = BpfMap::OpenPinned(pins() + "/bh_ctrl").value();
    const bh_endpoint own{.address = {1, 2, 3}, .port = 443, .zero = 0};
    const uint8_t one = 1;
    REQUIRE_OK(control_plane.Update(&own, &one));
    CHECK(repaired() == 1);
  }
  SECTION("the scope") {
    const BpfMap host_map = BpfMap::OpenPinned(pins() + "/bh_host").value();
    const bh_host other{};
    REQUIRE_OK(host_map.Update(&zero, &other));
    CHECK(repaired() == 1);
  }
  SECTION("a rule in a published set cannot be written at all") {
    const BpfMap active = BpfMap::OpenPinned(pins() + "/bh_active").value();
    const BpfMap rules = BpfMap::OpenPinned(pins() + "/bh_rules").value();
    const uint32_t slot = active.Get<uint32_t>(zero).value() - 1;
    const BpfMap inner = BpfMap::OpenById(rules.Get<uint32_t>(slot).value()).value();
    const bh_rule_key key{};
    const bh_rule_value value{};
    CHECK_CODE(inner.Update(&key, &value), kPermissionDenied);
    REQUIRE_OK(datapath().Maintain());
  }
  CHECK_FALSE(reaches());
  CHECK(repaired() == 0);
}

TEST_CASE_METHOD(CgroupFixture, "a blocked file that somebody strikes from the kernel's list is put back", "[adopt]") {
  const test::TempDir directory;
  const std::string victim = directory.path() + "/victim";
  std::filesystem::copy_file("/bin/true", victim);
  std::filesystem::create_hard_link(victim, victim + "2");  // known by its identity alone
  Apply({Block(victim)});
  const uint32_t zero = 0;
  const uint32_t slot = BpfMap::OpenPinned(pins() + "/bh_active")->Get<uint32_t>(zero).value() - 1;
  for (const char* name : {"/bh_files", "/bh_prints", "/bh_digests"}) {
    const BpfMap outer = BpfMap::OpenPinned(pins() + name).value();
    const BpfMap inner = BpfMap::OpenById(outer.Get<uint32_t>(slot).value()).value();
    char key[64];
    while (bpf_map_get_next_key(inner.fd(), nullptr, key) == 0) REQUIRE_OK(inner.Delete(key));
  }
  CHECK(WIFEXITED(cgroup().Execute(victim + "2", {"true"})));
  const absl::StatusOr<std::vector<std::string>> repairs = datapath().Maintain();
  REQUIRE_OK(repairs);
  CHECK(repairs->size() == 1);
  CHECK(WIFSIGNALED(cgroup().Execute(victim + "2", {"true"})));
}

TEST_CASE_METHOD(CgroupFixture, "removing the datapath lifts everything", "[adopt]") {
  const test::TempDir directory;
  const std::string victim = directory.path() + "/victim";
  std::filesystem::copy_file("/bin/true", victim);
  Apply({Block(victim)});
  Crash();
  REQUIRE_OK(RemoveDatapath(options()));
  CHECK(access(pins().c_str(), F_OK) != 0);
  CHECK(WIFEXITED(cgroup().Execute(victim, {"true"})));
  REQUIRE_OK(RemoveDatapath(options()));
}

}  // namespace
}  // namespace bulkhead::sensor
