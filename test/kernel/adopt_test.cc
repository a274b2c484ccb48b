// Enforcement outlives the sensor, and drift is repaired.
#include <bpf/bpf.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "bulkhead/abi.h"
#include "harness/temp_dir.h"
#include "kernel/fixture.h"
#include "sensor/kernel/bpf_map.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::kPeer4;

// Sends datagrams to the peer as fast as it can until told to stop, and counts those that were not refused.
class Flood {
 public:
  explicit Flood(const test::SocketFactory& host)
      : socket_(host.Socket(AF_INET, SOCK_DGRAM)), thread_([this] { Run(); }) {}
  ~Flood() {
    stop_ = true;
    thread_.join();
  }
  uint64_t passed() const { return passed_; }
  // Returns once the thread has tried some sends that started after the call.
  void WaitForMore() const {
    const uint64_t start = tried_;
    while (tried_ < start + 100) std::this_thread::yield();
  }

 private:
  void Run() {
    const test::Address to = At(kPeer4, 9000);
    while (!stop_) {
      if (test::SendTo(socket_, "flood", to) == 0) ++passed_;
      ++tried_;
    }
  }

  UniqueFd socket_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> passed_{0};
  std::atomic<uint64_t> tried_{0};
  std::thread thread_;
};

TEST_CASE_METHOD(NetFixture, "kill -9 leaves the wall, and a new sensor adopts it without a gap", "[adopt]") {
  Apply({Isolation()});
  const uint64_t generation = Observe().receipt.generation;
  Flood flood(host());
  flood.WaitForMore();
  const uint64_t before = flood.passed();
  Crash();
  flood.WaitForMore();
  Open();
  flood.WaitForMore();
  const ObservedState observed = Observe();
  CHECK(flood.passed() == before);
  CHECK(observed.isolated);
  CHECK(observed.receipt.generation == generation);
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].policy_id == kIsolateId);
  CHECK(observed.policies[0].hits > 0);
  REQUIRE_OK(datapath().Maintain());
  flood.WaitForMore();
  Apply({Isolation()});
  flood.WaitForMore();
  CHECK(flood.passed() == before);
}

TEST_CASE_METHOD(NetFixture, "no packet sees parts of two rule sets", "[adopt]") {
  // Both sets forbid the flood's address, each in its own way: a mixture would let it through.
  const std::vector<IsolationRule> odd = {Rule("192.0.2.0/25", 1, 8999, 17, Direction::kOutbound)};
  std::vector<IsolationRule> even;
  for (int i = 0; i < 40; ++i) even.push_back(Rule(kPeer4, 9001 + 2 * i, 9001 + 2 * i, 17, Direction::kOutbound));
  Apply({Isolation()}, odd);
  Flood flood(host());
  flood.WaitForMore();
  const uint64_t before = flood.passed();
  for (int i = 0; i < 10; ++i) {
    Apply({Isolation()}, i % 2 == 0 ? even : odd);
    flood.WaitForMore();
  }
  CHECK(flood.passed() == before);
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
