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

TEST_CASE("the kill of a group is carried out once, and its evidence arrives, also after a restart") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  v1::ConnectResponse kill = Kill(NewUuid(), host.clock.Now() + absl::Minutes(5));
  kill.mutable_command()->clear_kill_process();
  kill.mutable_command()->mutable_kill_group()->mutable_file()->set_path("/tmp/.x");
  for (int restart = 0; restart < 2; ++restart) {
    const RunningSensor sensor(&host, server.port());
    REQUIRE(server.Next(Request::kHello).has_value());
    REQUIRE(server.Send(kill));
    const auto result = server.Next(Request::kCommandResult);
    REQUIRE(result.has_value());
    const v1::KillGroupResult& group = result->command_result().kill_group_result();
    CHECK(group.outcome() == v1::KILL_OUTCOME_GONE);
    CHECK(group.killed() == 1);
    CHECK(group.refused() == 1);
    REQUIRE(group.processes_size() == 2);
    CHECK(group.processes(0).pid() == 1);
  }
  CHECK(host.killer.groups_killed() == 1);
}

v1::ConnectResponse LowerGuard(const std::string& id, absl::Time not_after) {
  v1::ConnectResponse message = Kill(id, not_after);
  message.mutable_command()->clear_kill_process();
  message.mutable_command()->mutable_lower_guard()->mutable_duration()->set_seconds(600);
  return message;
}

TEST_CASE("the guard is enabled, told, lowered by an order at most once, and its state follows at once") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  host.tamper_guard = true;
  const v1::ConnectResponse lower = LowerGuard(NewUuid(), host.clock.Now() + absl::Minutes(5));
  const absl::Time begin = host.clock.Now();
  for (int restart = 0; restart < 2; ++restart) {
    const RunningSensor sensor(&host, server.port());
    const auto hello = server.Next(Request::kHello);
    REQUIRE(hello.has_value());
    CHECK(hello->hello().observed().tamper_guard().state() ==
          (restart == 0 ? v1::GUARD_STATE_UP : v1::GUARD_STATE_LOWERED));
    const auto& mechanisms = hello->hello().capabilities().mechanisms();
    CHECK(mechanisms[mechanisms.size() - 1].name() == "tamper_guard/fake");
    for (int i = 0; i < 2; ++i) {
      REQUIRE(server.Send(lower));
      const auto result = server.Next(Request::kCommandResult);
      REQUIRE(result.has_value());
      CHECK(result->command_result().guard_result().outcome() == v1::GUARD_OUTCOME_DONE);
      host.clock.Advance(absl::Minutes(1));  // a second lowering would end later
    }
    bool told = false;
    for (int i = 0; i < 5 && !told; ++i) {
      const auto heartbeat = server.Next(Request::kHeartbeat);
      REQUIRE(heartbeat.has_value());
      told = heartbeat->heartbeat().observed().tamper_guard().state() == v1::GUARD_STATE_LOWERED;
    }
    CHECK(told);
  }
  CHECK(host.guard.lowered_until == begin + absl::Minutes(10));
  CHECK(host.guard.enables == 2);
}

TEST_CASE("an order to the guard that a restart interrupted is unknown, and one without a guard is refused") {
  const FakeCa ca;
  FakeControlPlane server(&ca);
  Host host(ca);
  const v1::ConnectResponse lower = LowerGuard(NewUuid(), host.clock.Now() + absl::Minutes(5));
  REQUIRE_OK(sensor::CommandLogStore(host.state.path())
                 .Save({{lower.command().id(), std::nullopt, sensor::CommandKind::kGuard}}));
  const RunningSensor sensor(&host, server.port());
  REQUIRE(server.Send(lower));
  auto result = server.Next(Request::kCommandResult);
  REQUIRE(result.has_value());
  CHECK(result->command_result().guard_result().outcome() == v1::GUARD_OUTCOME_UNKNOWN);
  const std::string id = NewUuid();
  REQUIRE(server.Send(LowerGuard(id, host.clock.Now() + absl::Minutes(5))));
  do {
    result = server.Next(Request::kCommandResult);
    REQUIRE(result.has_value());
  } while (result->command_result().command_id() != id);
  CHECK(result->command_result().guard_result().outcome() == v1::GUARD_OUTCOME_REFUSED);
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
