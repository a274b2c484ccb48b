// bulkheadctl rollout and labels, from arguments to exit code.
#include <catch2/catch.hpp>

#include "controlplane/cli/rollout_follow.h"
#include "unit/cli/fake_services.h"

namespace bulkhead::controlplane::cli::test {
namespace {

using Catch::Matchers::Contains;

v1::Rollout In(v1::RolloutState state, uint32_t enforced, uint32_t failed) {
  v1::Rollout rollout = RunningRollout();
  rollout.set_state(state);
  rollout.set_pending(10 - enforced - failed);
  rollout.set_enforced(enforced);
  rollout.set_failed(failed);
  if (state == v1::ROLLOUT_STATE_HALTED) rollout.set_halted_because("1 sensor failed: web-3");
  return rollout;
}

TEST_CASE("a rollout sends the order, whom it is for, and how fast") {
  Cli cli;
  REQUIRE(cli.Run({"rollout", "contain", "--selector", "env=prod,!canary", "--max-in-flight", "20", "--max-per-hour",
                   "600", "--max-failures", "3", "--enforce-within", "2m", "--reason", "INC-42", "--for", "90s",
                   "--allow-degraded"}) == 0);
  const v1::CreateRolloutRequest& sent = cli.rollouts.created;
  CHECK(sent.label_selector() == "env=prod,!canary");
  CHECK_FALSE(sent.all_sensors());
  CHECK(sent.limits().max_in_flight() == 20);
  CHECK(sent.limits().max_per_hour() == 600);
  CHECK(sent.limits().max_failures() == 3);
  CHECK(sent.limits().enforce_within_seconds() == 120);
  CHECK(sent.order().contain().allow_degraded());
  CHECK(sent.order().contain().lease().duration().seconds() == 90);
  CHECK(sent.order().contain().sensor().empty());
  CHECK(sent.order().contain().request_id().empty());
  CHECK(sent.reason() == "INC-42");
  CHECK(sent.request_id().size() == 36);
  CHECK_THAT(cli.out, Contains(kRolloutId) && Contains("10 to come") && Contains("env=prod"));
  CHECK(cli.rollouts.watches == 0);
}

TEST_CASE("each kind of order has its own flags") {
  Cli cli;
  REQUIRE(cli.Run({"rollout", "isolate", "--all", "--shadow"}) == 0);
  CHECK(cli.rollouts.created.all_sensors());
  CHECK(cli.rollouts.created.order().isolate().action() == v1::POLICY_ACTION_NOTIFY);
  REQUIRE(cli.Run({"rollout", "release", "--selector", "a", "--only-isolation"}) == 0);
  CHECK(cli.rollouts.created.order().release().only() == v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
  REQUIRE(cli.Run({"rollout", "block-binary", "--selector", "a", "--path", "/usr/bin/nc", "--dry-run"}) == 0);
  CHECK(cli.rollouts.created.order().block_binary().binary().path() == "/usr/bin/nc");
  CHECK(cli.rollouts.created.validate_only());
  CHECK_THAT(cli.out, Contains("nothing was ordered"));
}

TEST_CASE("without sensors, with both ways to choose them, or without a file nothing is sent") {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"contain"},
                                             {"contain", "--all", "--selector", "a"},
                                             {"contain", "--all", "--max-in-flight", "many"},
                                             {"contain", "--all", "--max-in-flight", "0"},
                                             {"contain", "--all", "--enforce-within", "soon"},
                                             {"contain", "--all", "--on-expiry", "hold"},
                                             {"block-binary", "--all"},
                                             {"targets", "ID", "--state", "lost"}}) {
    Cli cli;
    std::vector<std::string> args = {"rollout"};
    args.insert(args.end(), wrong.begin(), wrong.end());
    INFO(wrong[0] << " " << wrong.back());
    CHECK(cli.Run(args) == 2);
    CHECK_FALSE(cli.rollouts.created.has_order());
  }
}

TEST_CASE("--wait ends with a code for each end") {
  const struct {
    v1::Rollout last;
    int code;
    const char* says;
  } cases[] = {
      {In(v1::ROLLOUT_STATE_DONE, 10, 0), 0, ""},
      {In(v1::ROLLOUT_STATE_DONE, 8, 2), 3, "2 of 10 sensors failed"},
      {In(v1::ROLLOUT_STATE_HALTED, 4, 1), 4, "1 sensor failed: web-3"},
      {In(v1::ROLLOUT_STATE_CANCELLED, 4, 0), 5, "6 of 10 sensors were not ordered"},
  };
  for (const auto& [last, code, says] : cases) {
    Cli cli;
    cli.rollouts.watched = {RunningRollout(), In(v1::ROLLOUT_STATE_RUNNING, 3, 0), last};
    CHECK(cli.Run({"rollout", "contain", "--all", "--wait"}) == code);
    CHECK_THAT(cli.err, Contains(says));
    // Plain lines: the first state, and the change of state; what lies between is not worth a line.
    CHECK_THAT(cli.err, Contains("0/10 enforced, 0 in flight, 0 failed\n") && !Contains("3/10") && !Contains("\r"));
    CHECK_THAT(cli.out, Contains(kRolloutId));
  }
}

TEST_CASE("on a terminal one line is written over") {
  Cli cli;
  cli.rollouts.watched = {RunningRollout(), In(v1::ROLLOUT_STATE_RUNNING, 5, 0), In(v1::ROLLOUT_STATE_DONE, 10, 0)};
  CHECK(cli.Run({"rollout", "contain", "--all", "--wait"}, /*interactive=*/true) == 0);
  CHECK_THAT(cli.err, Contains("\r[..............................] 0/10") &&
                          Contains("\r[###############...............] 5/10") &&
                          Contains("\r[##############################] 10/10 enforced, 0 in flight, 0 failed, done\n"));
}

TEST_CASE("json on standard output is one object, whatever the progress") {
  Cli cli;
  cli.rollouts.watched = {RunningRollout(), In(v1::ROLLOUT_STATE_HALTED, 4, 1)};
  CHECK(cli.Run({"-o", "json", "rollout", "contain", "--all", "--wait"}) == 4);
  CHECK_THAT(cli.out, Catch::StartsWith("{") && Contains("ROLLOUT_STATE_HALTED") && !Contains("0/10"));
}

TEST_CASE("waiting survives a lost connection, and ends at its timeout while the rollout goes on") {
  Cli cli;
  cli.rollouts.watched = {RunningRollout()};
  cli.rollouts.watch_end = grpc::Status(grpc::StatusCode::UNAVAILABLE, "this replica is shutting down");
  CHECK(cli.Run({"rollout", "contain", "--all", "--wait", "--timeout", "1s"}) == 3);
  CHECK(cli.rollouts.watches >= 2);
  CHECK_THAT(cli.err, Contains("has not ended within 1s") && Contains("rollout cancel"));
  cli.rollouts.watch_end = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no");
  CHECK(cli.Run({"rollout", "contain", "--all", "--wait"}) == 1);
}

TEST_CASE("watch goes on through a halt, with a line of json for each change") {
  Cli cli;
  cli.rollouts.watched = {In(v1::ROLLOUT_STATE_HALTED, 4, 1), In(v1::ROLLOUT_STATE_RUNNING, 4, 1),
                          In(v1::ROLLOUT_STATE_CANCELLED, 4, 1)};
  CHECK(cli.Run({"-o", "json", "rollout", "watch", kRolloutId}) == 5);
  CHECK(std::count(cli.out.begin(), cli.out.end(), '\n') == 3);
}

TEST_CASE("get, list, targets, cancel and resume") {
  Cli cli;
  REQUIRE(cli.Run({"rollout", "get", kRolloutId}) == 0);
  CHECK_THAT(cli.out, Contains("50 at once, any number an hour, halts at 1 failure, each enforced within 60 s"));
  REQUIRE(cli.Run({"rollout", "list"}) == 0);
  CHECK_THAT(cli.out, Contains("running  contain  env=prod"));
  REQUIRE(cli.Run({"rollout", "targets", kRolloutId, "--state", "failed"}) == 0);
  CHECK(cli.rollouts.listed.state() == v1::ROLLOUT_TARGET_STATE_FAILED);
  CHECK_THAT(cli.out, Contains("no such?[31m hook"));
  REQUIRE(cli.Run({"rollout", "cancel", kRolloutId, "--reason", "wrong rack"}) == 0);
  CHECK(cli.rollouts.cancelled.reason() == "wrong rack");
  cli.rollouts.watched = {In(v1::ROLLOUT_STATE_DONE, 9, 1)};
  CHECK(cli.Run({"rollout", "resume", kRolloutId, "--wait"}) == 3);
  CHECK(cli.Run({"__complete", "--", "rollout", "cancel", "5555"}) == 0);
  CHECK(cli.out == std::string(kRolloutId) + "\n");
}

TEST_CASE("labels: set and removed beside those that stay, under the etag that was read") {
  Cli cli;
  REQUIRE(cli.Run({"sensor", "label", "web-1", "rack=7", "empty="}) == 0);
  CHECK(cli.sensors.labels.labels().size() == 3);
  CHECK(cli.sensors.labels.labels().at("env") == "prod");
  CHECK(cli.sensors.labels.labels().at("empty").empty());
  CHECK(cli.sensors.labels.etag() == "e7");
  CHECK(cli.out == "web-1 is labelled empty=,env=prod,rack=7\n");
  REQUIRE(cli.Run({"sensor", "label", "web-1", "env-"}) == 0);
  CHECK(cli.out == "web-1 has no labels\n");
  for (const char* wrong : {"env", "=x", "-", "rack-"}) {
    INFO(wrong);
    CHECK(cli.Run({"sensor", "label", "web-1", wrong}) != 0);
  }
  REQUIRE(cli.Run({"sensor", "list", "--selector", "env=prod"}) == 0);
  CHECK(cli.sensors.list.label_selector() == "env=prod");
  CHECK_THAT(cli.out, Contains("LABELS") && Contains("env=prod"));
  REQUIRE(cli.Run({"sensor", "list", "--health", "offline,critical", "--convergence", "unknown", "--contained",
                   "no"}) == 0);
  REQUIRE(cli.sensors.list.health_size() == 2);
  CHECK(cli.sensors.list.health(1) == v1::HEALTH_CRITICAL);
  CHECK(cli.sensors.list.convergence(0) == v1::CONVERGENCE_STATE_UNSPECIFIED);
  CHECK(cli.sensors.list.has_is_contained());
  CHECK_FALSE(cli.sensors.list.is_contained());
  CHECK_FALSE(cli.sensors.list.has_is_isolated());
  CHECK(cli.Run({"sensor", "list", "--health", "unwell"}) == 2);
  REQUIRE(cli.Run({"token", "create", "--sensor-label", "env=prod", "--sensor-label", "rack=7"}) == 0);
  CHECK(cli.tokens.created.sensor_labels().at("rack") == "7");
  CHECK(cli.Run({"token", "create", "--sensor-label", "env-"}) == 2);
}

}  // namespace
}  // namespace bulkhead::controlplane::cli::test
