// The stored state at start, and a control plane that went back in time.
#include "sensor/app/enforcer.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file_util.h"
#include "harness/fake_datapath.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
const SensorFacts kFacts{kSensor, {}, true, true};

DesiredState State(uint64_t generation, bool contained) {
  DesiredState state{kSensor, generation};
  state.digest[0] = static_cast<uint8_t>(generation * 2 + (contained ? 1 : 0));
  if (contained) state.policies = {{"c", "network-containment", PolicyTemplate::kNetworkContainment}};
  return state;
}

// A host whose sensor can be started several times.
struct Fixture {
  test::TempDir dir;
  test::FakeDatapath kernel;
  DesiredStateStore store{dir.path()};

  Enforcer Started() {
    Enforcer enforcer(&kernel, &store);
    enforcer.Restore();
    return enforcer;
  }
};

TEST_CASE("the stored state is enforced at start") {
  Fixture f;
  REQUIRE_OK(f.Started().Accept(State(3, true), kFacts));
  f.kernel.Tamper();
  Enforcer enforcer = f.Started();
  CHECK(f.kernel.state() == State(3, true));
  CHECK(enforcer.in_force().generation == 3);
  CHECK(enforcer.Observe().degraded.empty());
}

TEST_CASE("a state that the kernel refused is not what comes back") {
  Fixture f;
  {
    Enforcer enforcer = f.Started();
    REQUIRE_OK(enforcer.Accept(State(3, true), kFacts));
    f.kernel.FailApply(absl::InternalError("no memory"));
    CHECK_CODE(enforcer.Accept(State(4, false), kFacts), kInternal);
    CHECK(enforcer.in_force().generation == 3);
  }
  f.kernel.FailApply(absl::OkStatus());
  f.kernel.Tamper();
  f.Started();
  CHECK(f.kernel.state().generation == 3);
}

TEST_CASE("a damaged stored state leaves the kernel alone and is reported until a new one is in force") {
  Fixture f;
  REQUIRE_OK(f.Started().Accept(State(3, true), kFacts));
  REQUIRE_OK(WriteFileAtomically(f.dir / "desired-state", "garbage", 0600));
  Enforcer enforcer = f.Started();
  CHECK(f.kernel.state().generation == 3);
  REQUIRE(enforcer.Observe().degraded.size() == 1);
  CHECK(absl::StrContains(enforcer.Observe().degraded[0], ".corrupt-"));
  REQUIRE_OK(enforcer.Accept(State(4, true), kFacts));
  CHECK(enforcer.Observe().degraded.empty());
}

TEST_CASE("a restored control plane does not lift what is in force until somebody orders it") {
  Fixture f;
  Enforcer enforcer = f.Started();
  REQUIRE_OK(enforcer.Accept(State(9, true), kFacts));
  const absl::Status refused = enforcer.Accept(State(4, false), kFacts);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "restored"));
  CHECK(f.kernel.state().generation == 9);
  REQUIRE_OK(enforcer.Accept(State(5, false), kFacts));
  CHECK(f.kernel.state().generation == 5);
}

DesiredState WithBlock(DesiredState state, const std::string& path) {
  Policy block{absl::StrCat("b", path), "block", PolicyTemplate::kBlockBinary};
  block.binary_path = path;
  state.policies.push_back(block);
  return state;
}

TEST_CASE("a policy that the host refuses holds back none of the others, also after a restart") {
  Fixture f;
  f.kernel.RefusePath("/bin/sh");
  {
    Enforcer enforcer = f.Started();
    REQUIRE_OK(enforcer.Accept(WithBlock(State(3, false), "/bin/sh"), kFacts));
    // The order after it is not kept waiting, and neither is another block.
    REQUIRE_OK(enforcer.Accept(WithBlock(WithBlock(State(4, true), "/bin/sh"), "/bin/nc"), kFacts));
    CHECK(f.kernel.state().generation == 4);
    CHECK(f.kernel.state().contained());
    REQUIRE(f.kernel.state().policies.size() == 2);
    CHECK(f.kernel.state().policies[1].binary_path == "/bin/nc");
  }
  f.kernel.RefusePath("");
  f.kernel.Tamper();
  Enforcer enforcer = f.Started();
  CHECK(f.kernel.state().policies.size() == 2);
  const ObservedState observed = enforcer.Observe();
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].policy_id == "b/bin/sh");
  CHECK(observed.policies[0].refused == "this host needs it");
  REQUIRE(observed.degraded.size() == 1);
  CHECK(observed.degraded[0] == "policy block is refused: this host needs it");
  // The same id keeps its verdict; the order is given anew under another.
  REQUIRE_OK(enforcer.Accept(WithBlock(State(5, true), "/bin/sh"), kFacts));
  CHECK(f.kernel.state().policies.size() == 1);
  DesiredState again = WithBlock(State(6, true), "/bin/sh");
  again.policies.back().id = "another";
  REQUIRE_OK(enforcer.Accept(again, kFacts));
  CHECK(f.kernel.state().policies.size() == 2);
  CHECK(enforcer.Observe().policies.empty());
}

TEST_CASE("a block that is in force stays when its file becomes one that the host needs") {
  Fixture f;
  REQUIRE_OK(f.Started().Accept(WithBlock(State(3, true), "/bin/nc"), kFacts));
  Enforcer enforcer = f.Started();
  REQUIRE_OK(enforcer.Accept(WithBlock(State(4, true), "/bin/nc"), kFacts));
  CHECK(f.kernel.state().policies.size() == 2);
}

TEST_CASE("a local state with a policy that is refused is refused as a whole") {
  Fixture f;
  f.kernel.RefusePath("/bin/sh");
  Enforcer enforcer = f.Started();
  CHECK_CODE(enforcer.AcceptLocal(WithBlock(State(1, true), "/bin/sh"), kFacts), kFailedPrecondition);
  CHECK(f.kernel.state().generation == 0);
}

TEST_CASE("a wall whose scope moved is proved anew, cuts what it finds there, and is told about once") {
  Fixture f;
  Enforcer enforcer = f.Started();
  DesiredState state = State(3, true);
  state.policies[0].scope = PolicyScope{PolicyScope::Kind::kSystemdUnit, "nginx.service"};
  REQUIRE_OK(enforcer.Accept(state, kFacts));
  const int destroyed = f.kernel.destroyed();
  CHECK(enforcer.Maintain().empty());
  CHECK(f.kernel.destroyed() == destroyed);
  CHECK(enforcer.TakeScopeMoves().empty());
  f.kernel.MoveScope("walled at /system.slice/nginx.service");
  CHECK(enforcer.Maintain().empty());
  CHECK(f.kernel.destroyed() == destroyed + 1);
  CHECK(enforcer.TakeScopeMoves() == std::vector<std::string>{"walled at /system.slice/nginx.service"});
  CHECK(enforcer.TakeScopeMoves().empty());
}

TEST_CASE("a scope that moves while a wall is on trial waits for its end") {
  Fixture f;
  Enforcer enforcer = f.Started();
  std::vector<uint64_t> tickets;
  enforcer.StartProofsWith([&](uint64_t ticket) { tickets.push_back(ticket); });
  DesiredState state = State(3, true);
  state.policies[0].scope = PolicyScope{PolicyScope::Kind::kCgroup, "/a"};
  REQUIRE_OK(enforcer.Accept(state, kFacts));
  REQUIRE(enforcer.on_trial());
  f.kernel.MoveScope("gone");
  enforcer.Maintain();
  CHECK(f.kernel.destroyed() == 0);
  CHECK_FALSE(enforcer.Observe().receipt.complete);
  const auto ended = enforcer.ProofEnded({tickets.at(0), {Reachability::kConnected, "10.0.0.1"}});
  REQUIRE(ended.has_value());
  REQUIRE_OK(ended->status);
  CHECK(f.kernel.destroyed() == 1);
  CHECK(enforcer.Observe().receipt.complete);
}

TEST_CASE("a local state is enforced whatever its generation is") {
  Fixture f;
  Enforcer enforcer = f.Started();
  REQUIRE_OK(enforcer.AcceptLocal(State(1, true), kFacts));
  REQUIRE_OK(enforcer.AcceptLocal(State(1, false), kFacts));
  CHECK_FALSE(f.kernel.state().contained());
}

}  // namespace
}  // namespace bulkhead::sensor
