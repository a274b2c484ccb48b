// Kills through the whole sensor: at most once, also across a restart.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "common/uuid.h"
#include "harness/status_matchers.h"
#include "running_sensor.h"

namespace bulkhead::test {
namespace {

using Request = v1::ConnectRequest;

v1::ConnectResponse Kill(const std::string& id, absl::Time not_after) {
  v1::ConnectResponse message;
  v1::Command* command = message.mutable_command();
  command->set_id(id);
  command->set_sensor_id(FakeControlPlane::kSensorId);
  command->mutable_kill_process()->set_pid(4242);
  command->mutable_kill_process()->set_start_time_ticks(99);
  command->mutable_not_after()->set_seconds(absl::ToUnixSeconds(not_after));
  return message;
}

TEST_CASE("a kill is carried out once however often it is sent, also after a restart") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const v1::ConnectResponse kill = Kill(NewUuid(), host.clock.Now() + absl::Minutes(5));
  for (int restart = 0; restart < 2; ++restart) {
    const RunningSensor sensor(&host, server.port());
    REQUIRE(server.Next(Request::kHello).has_value());
    for (int i = 0; i < 2; ++i) {
      REQUIRE(server.Send(kill));
      const auto result = server.Next(Request::kCommandResult);
      REQUIRE(result.has_value());
      CHECK(result->command_result().command_id() == kill.command().id());
      CHECK(result->command_result().kill_result().outcome() == v1::KILL_OUTCOME_GONE);
    }
  }
  CHECK(host.killer.killed() == std::vector<uint32_t>{4242});
}

TEST_CASE("a result is repeated with the heartbeat until it is acknowledged") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  const v1::ConnectResponse kill = Kill(NewUuid(), host.clock.Now() + absl::Minutes(5));
  REQUIRE(server.Send(kill));
  REQUIRE(server.Next(Request::kCommandResult).has_value());
  REQUIRE(server.Next(Request::kCommandResult).has_value());
  v1::ConnectResponse ack;
  ack.mutable_command_ack()->set_command_id(kill.command().id());
  REQUIRE(server.Send(ack));
  REQUIRE(server.Next(Request::kHeartbeat).has_value());
  CHECK_FALSE(server.Next(Request::kCommandResult, absl::Milliseconds(1500)).has_value());
}

TEST_CASE("expired and malformed commands are refused and nothing is killed") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Send(Kill(NewUuid(), host.clock.Now() - absl::Minutes(1))));
  auto result = server.Next(Request::kCommandResult);
  REQUIRE(result.has_value());
  CHECK(result->command_result().kill_result().outcome() == v1::KILL_OUTCOME_REFUSED);
  CHECK(absl::StrContains(result->command_result().kill_result().message(), "deadline"));

  v1::ConnectResponse init = Kill(NewUuid(), host.clock.Now() + absl::Minutes(1));
  init.mutable_command()->mutable_kill_process()->set_pid(1);
  REQUIRE(server.Send(init));
  do {
    result = server.Next(Request::kCommandResult);
    REQUIRE(result.has_value());
  } while (result->command_result().command_id() != init.command().id());
  CHECK(result->command_result().kill_result().outcome() == v1::KILL_OUTCOME_REFUSED);
  CHECK(absl::StrContains(result->command_result().kill_result().message(), "pid"));
  CHECK(host.killer.killed().empty());
}

TEST_CASE("a command that was interrupted is answered as unknown and not tried again") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const v1::ConnectResponse kill = Kill(NewUuid(), host.clock.Now() + absl::Minutes(5));
  REQUIRE_OK(sensor::CommandLogStore(host.state.path()).Save({{kill.command().id(), std::nullopt}}));
  const RunningSensor sensor(&host, server.port());
  // Told without being asked, and again when asked.
  for (int i = 0; i < 2; ++i) {
    const auto result = server.Next(Request::kCommandResult);
    REQUIRE(result.has_value());
    CHECK(result->command_result().kill_result().outcome() == v1::KILL_OUTCOME_UNKNOWN);
    REQUIRE(server.Send(kill));
  }
  CHECK(host.killer.killed().empty());
}

}  // namespace
}  // namespace bulkhead::test
