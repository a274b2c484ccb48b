// Orders from the stream to the kernel and back: ack, nack, heartbeat, events, reconnect, restart.
#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/strings/match.h"
#include "harness/status_matchers.h"
#include "running_sensor.h"

namespace bulkhead::test {
namespace {

using Request = v1::ConnectRequest;

TEST_CASE("an order that is pushed is enforced, stored and acknowledged with what was read back") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  const auto hello = server.Next(Request::kHello);
  REQUIRE(hello.has_value());
  CHECK(hello->hello().capabilities().isolation_tier() == v1::TIER_FULL);
  // The wall was opened for the control plane before the first packet went there.
  CHECK_FALSE(host.kernel.endpoints().empty());

  REQUIRE(server.Send(Push(5, true)));
  const auto status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK(status->policy_status().generation() == 5);
  CHECK(status->policy_status().applied());
  CHECK(status->policy_status().observed().receipt().generation() == 5);
  CHECK(status->policy_status().observed().isolated());
  CHECK(host.kernel.state().isolated());
  CHECK(std::filesystem::exists(host.state / "desired-state"));
}

TEST_CASE("what cannot be enforced is refused with the reason, and what was in force stays") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Send(Push(5, true)));
  REQUIRE(server.Next(Request::kPolicyStatus).has_value());

  v1::ConnectResponse bad = Push(6, false);
  bad.mutable_heartbeat_response()->mutable_desired_state()->set_digest("short");
  REQUIRE(server.Send(bad));
  auto status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK_FALSE(status->policy_status().applied());
  CHECK(status->policy_status().generation() == 6);
  CHECK(absl::StrContains(status->policy_status().message(), "digest"));
  CHECK(status->policy_status().observed().receipt().generation() == 5);

  host.kernel.FailApply(absl::FailedPreconditionError("this kernel has no such hook"));
  REQUIRE(server.Send(Push(7, false)));
  status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK_FALSE(status->policy_status().applied());
  CHECK(absl::StrContains(status->policy_status().message(), "no such hook"));
  CHECK(host.kernel.state().generation == 5);

  host.kernel.FailApply(absl::OkStatus());
  REQUIRE(server.Send(Push(8, false)));
  status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK(status->policy_status().applied());
}

TEST_CASE("heartbeats come at the interval that Welcome gives, numbered from 1") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  for (uint64_t expected = 1; expected <= 2; ++expected) {
    const auto heartbeat = server.Next(Request::kHeartbeat);
    REQUIRE(heartbeat.has_value());
    CHECK(heartbeat->heartbeat().sequence() == expected);
    v1::ConnectResponse answer;
    answer.mutable_heartbeat_response()->set_sequence(expected);
    answer.mutable_heartbeat_response()->set_unchanged(true);
    REQUIRE(server.Send(answer));
  }
}

TEST_CASE("events from the kernel and repaired drift reach the control plane") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Next(Request::kHello).has_value());
  sensor::Event event;
  event.time = absl::FromUnixSeconds(1000);
  event.kind = sensor::EventKind::kExecDenied;
  event.comm = "nc";
  host.kernel.AddEvent(event);
  auto batch = server.Next(Request::kEventBatch);
  REQUIRE(batch.has_value());
  CHECK(batch->event_batch().events(0).comm() == "nc");
  CHECK(batch->event_batch().events(0).sequence() == 1);
  host.kernel.AddRepair("a detached link was attached again");
  batch = server.Next(Request::kEventBatch);
  REQUIRE(batch.has_value());
  CHECK(batch->event_batch().events(0).kind() == v1::EVENT_KIND_DRIFT_REPAIRED);
  host.kernel.AddInterface("a filter on a new interface");
  batch = server.Next(Request::kEventBatch);
  REQUIRE(batch.has_value());
  CHECK(batch->event_batch().events(0).detail() == "a filter on a new interface");
}

TEST_CASE("the sensor reconnects when the control plane comes back, and takes what it missed") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Send(Push(5, true)));
  REQUIRE(server.Next(Request::kPolicyStatus).has_value());
  server.Stop();
  server.Start();
  const auto hello = server.Next(Request::kHello);
  REQUIRE(hello.has_value());
  CHECK(hello->hello().observed().receipt().generation() == 5);
  REQUIRE(server.Send(Push(6, false)));
  const auto status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK(status->policy_status().generation() == 6);
  CHECK_FALSE(host.kernel.state().isolated());
}

TEST_CASE("a restarted sensor enforces the stored state before it has a network") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  {
    const RunningSensor sensor(&host, server.port());
    REQUIRE(server.Send(Push(5, true)));
    REQUIRE(server.Next(Request::kPolicyStatus).has_value());
  }
  CHECK(server.Next(Request::kGoodbye).has_value());
  server.Stop();
  host.kernel.Tamper();
  const RunningSensor restarted(&host, server.port());
  CHECK(host.kernel.state().generation == 5);
  CHECK(host.kernel.state().isolated());
}

TEST_CASE("a control plane that sends again what is in force gets an ack; a kernel that lost it is repaired") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  for (int i = 0; i < 2; ++i) {
    REQUIRE(server.Send(Push(5, true)));
    const auto status = server.Next(Request::kPolicyStatus);
    REQUIRE(status.has_value());
    CHECK(status->policy_status().applied());
  }
  CHECK(host.kernel.applies() == 1);
  host.kernel.Tamper();
  REQUIRE(server.Send(Push(5, true)));
  REQUIRE(server.Next(Request::kPolicyStatus).has_value());
  CHECK(host.kernel.applies() == 2);
  CHECK(host.kernel.state().isolated());
}

TEST_CASE("a disk that cannot be written does not stop an order, and is reported") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Next(Request::kHello).has_value());
  std::filesystem::remove_all(host.state.path());
  REQUIRE(server.Send(Push(5, true)));
  const auto status = server.Next(Request::kPolicyStatus);
  REQUIRE(status.has_value());
  CHECK(status->policy_status().applied());
  REQUIRE(status->policy_status().observed().degraded_size() == 1);
  CHECK(absl::StrContains(status->policy_status().observed().degraded(0), "could not be stored"));
}

}  // namespace
}  // namespace bulkhead::test
