// A wall on trial in a whole sensor: committed, rolled back, held, superseded, and interrupted by a restart.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/strings/match.h"
#include "harness/status_matchers.h"
#include "running_sensor.h"

namespace bulkhead::test {
namespace {

using Request = v1::ConnectRequest;
using sensor::Reachability;

struct Fixture {
  FakeCa ca;
  FakeControlPlane server{&ca};
  Host host{ca};

  v1::PolicyStatus StatusOf(const v1::ConnectResponse& order) {
    REQUIRE(server.Send(order));
    return NextStatus();
  }
  v1::PolicyStatus NextStatus() {
    const auto status = server.Next(Request::kPolicyStatus);
    REQUIRE(status.has_value());
    return status->policy_status();
  }
};

bool Mentions(const google::protobuf::RepeatedPtrField<std::string>& texts, const std::string& what) {
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& t) { return absl::StrContains(t, what); });
}

TEST_CASE("a wall that lets a new connection through is committed, with the proof in its receipt") {
  Fixture f;
  const RunningSensor sensor(&f.host, f.server.port());
  const v1::PolicyStatus status = f.StatusOf(Push(5, true));
  CHECK(status.applied());
  CHECK(f.host.prover.proofs() == 1);
  CHECK(f.host.kernel.destroyed() == 1);
  const v1::Receipt& receipt = status.observed().receipt();
  CHECK(receipt.complete());
  REQUIRE(receipt.probes_size() == 2);
  CHECK(receipt.probes(0).name() == "connect_refused");
  CHECK(receipt.probes(0).required());
  CHECK(receipt.probes(1).name() == "control_plane_reachable");
  CHECK(receipt.probes(1).passed());
  CHECK(std::filesystem::exists(f.host.state / "desired-state"));
  CHECK_FALSE(std::filesystem::exists(f.host.state / "desired-state.next"));
}

TEST_CASE("an order without a wall is not put on trial") {
  Fixture f;
  const RunningSensor sensor(&f.host, f.server.port());
  CHECK(f.StatusOf(Push(5, false)).applied());
  CHECK(f.host.prover.proofs() == 0);
}

TEST_CASE("a wall that cuts the control plane off is rolled back, refused with the reason, and not tried again") {
  Fixture f;
  f.host.prover.Expect({Reachability::kSilent, Reachability::kConnected});
  const RunningSensor sensor(&f.host, f.server.port());
  const v1::PolicyStatus status = f.StatusOf(Push(5, true));
  CHECK_FALSE(status.applied());
  CHECK(absl::StrContains(status.message(), "rolled back"));
  CHECK_FALSE(status.observed().isolated());
  CHECK_FALSE(f.host.kernel.state().isolated());
  CHECK(f.host.kernel.destroyed() == 0);  // a failed order costs no connection
  CHECK(f.host.prover.proofs() == 2);
  CHECK_FALSE(std::filesystem::exists(f.host.state / "desired-state.next"));
  // The control plane repeats it with each heartbeat; the host is not cut again and again.
  const int applies = f.host.kernel.applies();
  CHECK(absl::StrContains(f.StatusOf(Push(5, true)).message(), "rolled back"));
  CHECK(f.host.kernel.applies() == applies);
  // A new order is a new try.
  CHECK(f.StatusOf(Push(6, true)).applied());
}

TEST_CASE("rolling back brings back the wall that was there before, not an open host") {
  Fixture f;
  const RunningSensor sensor(&f.host, f.server.port());
  REQUIRE(f.StatusOf(Push(5, true)).applied());
  f.host.prover.Expect({Reachability::kRefusedHere});
  CHECK_FALSE(f.StatusOf(Push(6, true)).applied());
  CHECK(f.host.kernel.state().generation == 5);
  CHECK(f.host.kernel.state().isolated());
}

TEST_CASE("a wall that is not to blame stays, and says what is wrong") {
  Fixture f;
  f.host.prover.Expect({Reachability::kSilent, Reachability::kSilent});
  const RunningSensor sensor(&f.host, f.server.port());
  const v1::PolicyStatus status = f.StatusOf(Push(5, true));
  CHECK(status.applied());
  CHECK(f.host.kernel.state().isolated());
  CHECK(Mentions(status.observed().degraded(), "with the wall or without it"));
}

TEST_CASE("what an earlier sensor left, and no disk knows, is not lifted by rolling an order back") {
  Fixture f;
  f.host.kernel.LeaveOlderSensor();
  f.host.prover.Expect({Reachability::kSilent});
  const RunningSensor sensor(&f.host, f.server.port());
  CHECK(f.StatusOf(Push(5, true)).applied());
  CHECK(f.host.kernel.state().isolated());
}

TEST_CASE("an order that holds is not rolled back") {
  Fixture f;
  f.host.prover.Expect({Reachability::kRefusedHere});
  const RunningSensor sensor(&f.host, f.server.port());
  v1::ConnectResponse order = Push(5, true);
  order.mutable_heartbeat_response()->mutable_desired_state()->mutable_enforcement_policies(0)->set_on_unreachable(
      v1::ON_UNREACHABLE_HOLD);
  const v1::PolicyStatus status = f.StatusOf(order);
  CHECK(status.applied());
  CHECK(f.host.kernel.state().isolated());
  CHECK(Mentions(status.observed().degraded(), "holds as ordered"));
}

TEST_CASE("while a wall is on trial the receipt is not complete, and a release overtakes the trial") {
  Fixture f;
  f.host.prover.Hold(true);
  {
    const RunningSensor sensor(&f.host, f.server.port());
    REQUIRE(f.server.Send(Push(5, true)));
    REQUIRE(Eventually([&] { return f.host.kernel.state().isolated(); }));
    const auto heartbeat = f.server.Next(Request::kHeartbeat);
    REQUIRE(heartbeat.has_value());
    CHECK(f.StatusOf(Push(6, false)).applied());
    CHECK_FALSE(f.host.kernel.state().isolated());
    f.host.prover.Hold(false);
    CHECK_FALSE(f.server.Next(Request::kPolicyStatus, absl::Milliseconds(300)).has_value());
    CHECK_FALSE(f.host.kernel.state().isolated());
  }
}

TEST_CASE("a sensor that ends during a trial enforces the wall at its next start and goes on proving it") {
  Fixture f;
  for (const bool works : {true, false}) {
    INFO(works);
    Host host(f.ca);
    {
      sensor::DesiredStateStore store(host.state.path());
      sensor::Enforcer interrupted(&host.kernel, &store);
      interrupted.StartProofsWith([](uint64_t) {});
      sensor::DesiredState state{FakeControlPlane::kSensorId, 5};
      state.digest[0] = 5;
      state.policies = {{"p1", "network-isolation", sensor::PolicyTemplate::kNetworkIsolation}};
      REQUIRE_OK(interrupted.Accept(state, {FakeControlPlane::kSensorId, {}, true, true}));
      CHECK(interrupted.on_trial());
    }
    if (!works) host.prover.Expect({Reachability::kRefusedHere});
    const RunningSensor sensor(&host, f.server.port());
    const v1::PolicyStatus status = f.NextStatus();
    CHECK(status.applied() == works);
    CHECK(host.kernel.state().isolated() == works);
    CHECK(host.prover.proofs() == 1);
  }
}

TEST_CASE("what is found at start without its proof is not rolled back over what an unknown sensor left") {
  const TempDir dir;
  FakeDatapath kernel;
  sensor::DesiredState left{FakeControlPlane::kSensorId, 4};
  left.policies = {{"p0", "network-isolation", sensor::PolicyTemplate::kNetworkIsolation}};
  REQUIRE_OK(kernel.Apply(left));
  sensor::DesiredStateStore store(dir.path());
  sensor::Enforcer enforcer(&kernel, &store);
  uint64_t ticket = 0;
  enforcer.StartProofsWith([&](uint64_t started) { ticket = started; });
  sensor::DesiredState state = left;
  state.generation = 5;
  REQUIRE_OK(enforcer.Accept(state, {FakeControlPlane::kSensorId, {}, true, true}));
  const auto end = enforcer.ProofEnded({ticket, {Reachability::kSilent, "simulated"}});
  REQUIRE(end.has_value());
  CHECK(end->status.ok());
  CHECK(kernel.state().isolated());
}

}  // namespace
}  // namespace bulkhead::test
