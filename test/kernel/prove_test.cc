// Receipts and shadows: probes from inside see the wall, and see when it is not there; a shadow lists what it would
// cut.
#include <algorithm>

#include "bpf/bpf.h"
#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::kHost4;
using test::kMustComeMillis;
using test::kPeer4;
using test::kPeer6;
using test::Listen;
using test::SendTo;

const ActiveProbe* Find(const std::vector<ActiveProbe>& probes, const std::string& name) {
  const auto found = std::find_if(probes.begin(), probes.end(), [&](const auto& probe) { return probe.name == name; });
  return found == probes.end() ? nullptr : &*found;
}

TEST_CASE_METHOD(NetFixture, "probes from inside are refused by every wall", "[prove]") {
  for (const std::vector<Policy>& walls :
       {std::vector{Containment()}, std::vector{Isolation()}, std::vector{Containment(PolicyAction::kSigkill)}}) {
    Apply(walls);
    const std::vector<ActiveProbe> probes = datapath().Prove();
    const ActiveProbe* connect = Find(probes, "connect_refused");
    REQUIRE(connect != nullptr);
    INFO(connect->detail);
    CHECK(connect->passed);
    CHECK(connect->required);
    const ActiveProbe* packet = Find(probes, "wall_drops");
    REQUIRE(packet != nullptr);
    INFO(packet->detail);
    // A machine without a route cannot send the packet that the wall would drop; it says so and claims nothing.
    CHECK((packet->passed || !packet->required));
  }
}

TEST_CASE_METHOD(NetFixture, "nothing is proved where no wall is", "[prove]") {
  CHECK(datapath().Prove().empty());
  Apply({Isolation(PolicyAction::kNotify)});
  CHECK(datapath().Prove().empty());
}

TEST_CASE_METHOD(NetFixture, "probes knock where no rule lets them in", "[prove]") {
  Apply({Isolation()}, {Rule("192.0.2.0/24", 0, 0, 0, Direction::kOutbound)});
  const std::vector<ActiveProbe> probes = datapath().Prove();
  const ActiveProbe* connect = Find(probes, "connect_refused");
  REQUIRE(connect != nullptr);
  CHECK(connect->passed);
  CHECK_THAT(connect->detail, Catch::Contains("198.51.100.1"));
}

TEST_CASE_METHOD(NetFixture, "a wall that somebody took away is seen by the probes", "[prove]") {
  Apply({Isolation()});
  const int active = bpf_obj_get((pins() + "/bh_active").c_str());
  REQUIRE(active >= 0);
  const UniqueFd owner(active);
  const uint32_t zero = 0;
  REQUIRE(bpf_map_update_elem(active, &zero, &zero, BPF_ANY) == 0);
  const std::vector<ActiveProbe> probes = datapath().Prove();
  const ActiveProbe* connect = Find(probes, "connect_refused");
  REQUIRE(connect != nullptr);
  CHECK_FALSE(connect->passed);
  CHECK(connect->required);
  REQUIRE_OK(datapath().Maintain());
  CHECK(Find(datapath().Prove(), "connect_refused")->passed);
}

const WouldCut* FindCut(const std::vector<WouldCut>& cuts, const std::string& address, uint16_t port, bool named) {
  const auto found = std::find_if(cuts.begin(), cuts.end(), [&](const WouldCut& cut) {
    return cut.remote.ToString() == address && cut.port == port && cut.comm.empty() != named;
  });
  return found == cuts.end() ? nullptr : &*found;
}

TEST_CASE_METHOD(NetFixture, "a shadow lists who would be cut from where, and cuts nothing", "[shadow]") {
  Apply({Isolation(PolicyAction::kNotify)}, {Rule("", 7951, 7951, 6, Direction::kOutbound)});
  const UniqueFd cut = peer().Socket(AF_INET, SOCK_STREAM);
  const UniqueFd allowed = peer().Socket(AF_INET, SOCK_STREAM);
  REQUIRE(Listen(cut, At(kPeer4, 7950)) == 0);
  REQUIRE(Listen(allowed, At(kPeer4, 7951)) == 0);
  for (int i = 0; i < 3; ++i) {
    CHECK(Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 7950), kMustComeMillis) == 0);
  }
  CHECK(Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 7951), kMustComeMillis) == 0);
  const UniqueFd v6 = host().Socket(AF_INET6, SOCK_DGRAM);
  CHECK(SendTo(v6, "x", At(kPeer6, 7952)) == 0);
  const ObservedState observed = Observe();
  CHECK_FALSE(observed.isolated);
  REQUIRE(observed.policies.size() == 1);
  const std::vector<WouldCut>& cuts = observed.policies[0].would_cut;
  const WouldCut* packets = FindCut(cuts, kPeer4, 7950, false);
  REQUIRE(packets != nullptr);
  CHECK(packets->count >= 3);
  CHECK(packets->protocol == 6);
  CHECK(packets->direction == Direction::kOutbound);
  CHECK(FindCut(cuts, kPeer6, 7952, false) != nullptr);
  CHECK(FindCut(cuts, kPeer4, 7951, false) == nullptr);
  CHECK(std::is_sorted(cuts.begin(), cuts.end(), [](const auto& a, const auto& b) { return a.count > b.count; }));
}

TEST_CASE_METHOD(NetFixture, "a shadow names the process that calls", "[shadow]") {
  if (!Has("cgroup_connect")) return;
  Apply({Containment(PolicyAction::kNotify)});
  const UniqueFd udp = host().Socket(AF_INET, SOCK_DGRAM);
  const test::Address to = At(kPeer4, 7960);
  // connect(2) is judged by the calling process's cgroup.
  CHECK(test::WaitFor(cgroup().Fork([&] { return connect(udp.get(), to.get(), to.size) == 0 ? 0 : errno; })) == 0);
  const ObservedState observed = Observe();
  const WouldCut* call = FindCut(observed.policies.at(0).would_cut, kPeer4, 7960, true);
  REQUIRE(call != nullptr);
  CHECK(call->comm == "kernel_test");
  CHECK(call->count == 1);
}

TEST_CASE_METHOD(NetFixture, "the list is bounded, and another policy begins with an empty one", "[shadow]") {
  Apply({Containment(PolicyAction::kNotify)});
  const UniqueFd udp = host().Socket(AF_INET, SOCK_DGRAM);
  for (uint16_t port = 1; port <= 100; ++port) CHECK(SendTo(udp, "x", At(kPeer4, port)) == 0);
  CHECK(Observe().policies.at(0).would_cut.size() == kMostCutsShown);
  Apply({Isolation(PolicyAction::kNotify)});
  const ObservedState observed = Observe();
  REQUIRE(observed.policies.size() == 1);
  CHECK(FindCut(observed.policies[0].would_cut, kPeer4, 50, false) == nullptr);
}

}  // namespace
}  // namespace bulkhead::sensor
