// Bad or oversized states leave what was enforced as it was.
#include <errno.h>

#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE_METHOD(NetFixture, "a refused state changes nothing", "[rule_set]") {
  Apply({Containment()});
  const uint64_t generation = Observe().receipt.generation;
  const auto refused = [&](const DesiredState& state) {
    const absl::Status status = datapath().Apply(state);
    INFO(status.ToString());
    CHECK_FALSE(status.ok());
    const ObservedState observed = Observe();
    CHECK(observed.receipt.generation == generation);
    CHECK(observed.contained);
    CHECK_FALSE(observed.isolated);
    CHECK(observed.policies.size() == 1);
    CHECK(test::Connect(host().Socket(AF_INET, SOCK_STREAM), test::At(test::kPeer4, 1)) == EPERM);
  };
  SECTION("ports with a protocol that has none") {
    refused(State({Isolation()}, {Rule("", 1, 2, 1, Direction::kInbound)}));
  }
  SECTION("ports out of order") {
    refused(State({Isolation()}, {Rule("", 9, 2, 6, Direction::kInbound)}));
  }
  SECTION("a path that is not absolute") {
    refused(State({Block("bin/true")}));
  }
  SECTION("a path that is too long") {
    refused(State({Block("/" + std::string(4096, 'x'))}));
  }
  SECTION("a policy id that is too long") {
    refused(State({Block("/bin/x", PolicyAction::kSigkill, std::string(64, 'x'))}));
  }
  SECTION("more rules than the kernel's maps hold") {
    std::vector<IsolationRule> rules;
    for (int i = 0; i < 140000; ++i) {
      rules.push_back(Rule("", 0, 0, 1, Direction::kAny));
      rules.back().remote = IpPrefix::Parse("10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
                                            std::to_string(i & 255))
                                .value();
    }
    refused(State({Isolation()}, rules));
  }
  Apply({Containment(), Isolation()});
  CHECK(Observe().isolated);
}

TEST_CASE_METHOD(CgroupFixture, "the receipt is what the kernel holds", "[rule_set]") {
  const DesiredState state = State({Containment()});
  REQUIRE_OK(datapath().Apply(state));
  const ObservedState observed = Observe();
  CHECK(observed.receipt.generation == state.generation);
  CHECK(observed.receipt.digest == state.digest);
  CHECK(absl::AbsDuration(absl::Now() - observed.receipt.enforced_at) < absl::Minutes(1));
  CHECK(observed.receipt.apply_time > absl::ZeroDuration());
  for (const AttachedProgram& program : observed.receipt.programs) {
    CHECK(program.program_id != 0);
    CHECK(program.link_id != 0);
    CHECK_FALSE(program.target.empty());
  }
}

}  // namespace
}  // namespace bulkhead::sensor
