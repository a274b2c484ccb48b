// Labels, selectors, and the decisions of a rollout: what became of an order, when to give the next, when to stop.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/label_selector.h"
#include "controlplane/domain/labels.h"
#include "controlplane/domain/rollout.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

TEST_CASE("labels: keys and values that hold, and those that do not") {
  REQUIRE_OK(ValidateLabels("labels", {{"env", "Prod-1.2_x"}, {"a", ""}, {"rack.example.org_7-b", "7"}}));
  const std::string long_part(63, 'k');
  REQUIRE_OK(ValidateLabels("labels", {{long_part, long_part}}));
  for (const std::string& key : {std::string(), std::string("Env"), std::string("-env"), std::string("env."),
                                 std::string("e nv"), std::string("env="), long_part + "k", std::string("\xc3\xa4")}) {
    INFO(key);
    CHECK(FieldOf(ValidateLabels("labels", {{key, "v"}})) == "labels");
  }
  for (const std::string& value : {std::string("a b"), std::string("a,b"), std::string("a\nb"), long_part + "v"}) {
    INFO(value);
    CHECK_CODE(ValidateLabels("labels", {{"env", value}}), kInvalidArgument);
  }
  Labels many;
  for (size_t i = 0; i < kMaxLabels; ++i) many["k" + std::to_string(i)] = "";
  REQUIRE_OK(ValidateLabels("labels", many));
  many["one-more"] = "";
  CHECK_CODE(ValidateLabels("labels", many), kInvalidArgument);
  CHECK(LabelsText({{"role", "web"}, {"env", "prod"}}) == "env=prod,role=web");
}

TEST_CASE("a selector has four kinds of parts") {
  const auto selector = ParseLabelSelector("s", "env=prod, role != db ,canary,! old,env=prod,empty=");
  REQUIRE_OK(selector);
  CHECK(selector->equal == Labels{{"env", "prod"}, {"empty", ""}});
  CHECK(selector->differ == std::set<std::pair<std::string, std::string>>{{"role", "db"}});
  CHECK(selector->present == std::set<std::string>{"canary"});
  CHECK(selector->absent == std::set<std::string>{"old"});
  const auto all = ParseLabelSelector("s", "");
  REQUIRE_OK(all);
  CHECK((all->equal.empty() && all->differ.empty() && all->present.empty() && all->absent.empty()));
}

TEST_CASE("a selector that means nothing is refused with what is wrong") {
  const std::pair<std::string, std::string> cases[] = {
      {"env=prod,", "empty part"},
      {",", "empty part"},
      {"Env=prod", "\"Env\" is not a label's key"},
      {"=prod", "label's key"},
      {"!=prod", "label's key"},
      {"!", "label's key"},
      {"!!env", "label's key"},
      {"env==prod", "label's value"},
      {"env=a=b", "label's value"},
      {"!env=prod", "label's key"},
      {"env in (a)", "label's key"},
      {"env=a,env=b", "nothing can match"},
      {"env=a\nb", "control"},
      {"env=\xff", "UTF-8"},
  };
  for (const auto& [text, problem] : cases) {
    INFO(text);
    const absl::Status refused = ParseLabelSelector("label_selector", text).status();
    CHECK_CODE(refused, kInvalidArgument);
    CHECK(FieldOf(refused) == "label_selector");
    CHECK(absl::StrContains(refused.message(), problem));
  }
  CHECK_CODE(ParseLabelSelector("s", std::string(kMaxSelectorBytes + 1, 'a')), kInvalidArgument);
}

TEST_CASE("limits: defaults, and what is out of range by field") {
  const auto limits = ValidateRolloutLimits({});
  REQUIRE_OK(limits);
  CHECK(limits->max_in_flight == 50);
  CHECK(limits->max_per_hour == 0);
  CHECK(limits->max_failures == 1);
  CHECK(limits->enforce_within_seconds == 60);
  CHECK(FieldOf(ValidateRolloutLimits({.max_in_flight = 10'001}).status()) == "limits.max_in_flight");
  CHECK(FieldOf(ValidateRolloutLimits({.max_per_hour = 1'000'001}).status()) == "limits.max_per_hour");
  CHECK(FieldOf(ValidateRolloutLimits({.max_failures = 10'001}).status()) == "limits.max_failures");
  CHECK(FieldOf(ValidateRolloutLimits({.enforce_within_seconds = 4}).status()) == "limits.enforce_within_seconds");
}

// A running rollout of 10 pending sensors, 4 at once.
RolloutStanding Running(RolloutCounts counts = {.pending = 10}) {
  RolloutStanding standing;
  standing.rollout.limits = {.max_in_flight = 4, .max_per_hour = 0, .max_failures = 2, .enforce_within_seconds = 60};
  standing.rollout.counts = counts;
  standing.rollout.ordered_by = "olga";
  return standing;
}

TEST_CASE("orders are given up to what is in flight, what the hour allows, and what is left") {
  CHECK(NextStep(Running()).orders == 4);
  CHECK(NextStep(Running({.pending = 10, .ordered = 3})).orders == 1);
  CHECK(NextStep(Running({.pending = 10, .ordered = 4})).orders == 0);
  CHECK(NextStep(Running({.pending = 10, .ordered = 9})).orders == 0);
  CHECK(NextStep(Running({.pending = 2, .enforced = 8})).orders == 2);
  RolloutStanding standing = Running();
  standing.rollout.limits.max_per_hour = 3;
  CHECK(NextStep(standing).orders == 3);
  standing.ordered_last_hour = 2;
  CHECK(NextStep(standing).orders == 1);
  standing.ordered_last_hour = 7;
  CHECK(NextStep(standing).orders == 0);
  CHECK_FALSE(NextStep(standing).ends);
}

TEST_CASE("a rollout halts at its limit of failures, before it could be done") {
  CHECK_FALSE(NextStep(Running({.pending = 9, .failed = 1})).ends);
  RolloutStanding standing = Running({.pending = 8, .failed = 2});
  standing.last_failure = "web-7: critical";
  const RolloutStep halt = NextStep(standing);
  CHECK(halt.ends == RolloutState::kHalted);
  CHECK(halt.orders == 0);
  CHECK(absl::StrContains(halt.why, "2 sensors failed"));
  CHECK(absl::StrContains(halt.why, "web-7: critical"));
  CHECK(NextStep(Running({.enforced = 8, .failed = 2})).ends == RolloutState::kHalted);
  // What an operator forgave counts no more; the next failures do.
  standing.rollout.forgiven = 2;
  CHECK(NextStep(standing).orders == 4);
  standing.rollout.counts.failed = 4;
  CHECK(NextStep(standing).ends == RolloutState::kHalted);
}

TEST_CASE("a rollout is done once every sensor has an outcome") {
  CHECK(NextStep(Running({.enforced = 9, .failed = 1})).ends == RolloutState::kDone);
  CHECK_FALSE(NextStep(Running({.ordered = 1, .enforced = 9})).ends);
  CHECK_FALSE(NextStep(Running({.pending = 1, .enforced = 9})).ends);
}

TEST_CASE("a rollout that does not run gives no orders and enters no state") {
  for (const RolloutState state : {RolloutState::kHalted, RolloutState::kDone, RolloutState::kCancelled}) {
    RolloutStanding standing = Running({.pending = 5, .failed = 9});
    standing.rollout.state = state;
    CHECK(NextStep(standing).orders == 0);
    CHECK_FALSE(NextStep(standing).ends);
  }
}

TEST_CASE("an operator who was disabled orders nothing more") {
  RolloutStanding standing = Running();
  standing.operator_disabled = true;
  CHECK(NextStep(standing).ends == RolloutState::kHalted);
  CHECK(absl::StrContains(NextStep(standing).why, "olga"));
  standing.rollout.counts = {.ordered = 2, .enforced = 8};
  CHECK_FALSE(NextStep(standing).ends);
}

TEST_CASE("whatever happens, no step gives more orders than there is room for") {
  for (uint32_t in_flight = 1; in_flight < 5; ++in_flight) {
    for (uint32_t per_hour = 0; per_hour < 5; ++per_hour) {
      for (uint32_t ordered = 0; ordered < 6; ++ordered) {
        for (uint32_t last_hour = ordered; last_hour < 8; ++last_hour) {
          RolloutStanding standing = Running({.pending = 3, .ordered = ordered});
          standing.rollout.limits.max_in_flight = in_flight;
          standing.rollout.limits.max_per_hour = per_hour;
          standing.ordered_last_hour = last_hour;
          const uint32_t orders = NextStep(standing).orders;
          CHECK(orders <= 3);
          CHECK((orders == 0 || ordered + orders <= in_flight));
          CHECK((per_hour == 0 || orders == 0 || last_hour + orders <= per_hour));
        }
      }
    }
  }
}

// An order of generation 7 that the kernel of a healthy, connected sensor has.
struct Ordered {
  Rollout rollout;
  RolloutEvidence evidence;
  Sensor& sensor;

  Ordered() : sensor(evidence.sensor.emplace()) {
    rollout.limits = {.max_in_flight = 4, .max_per_hour = 0, .max_failures = 2, .enforce_within_seconds = 60};
    evidence.target.state = RolloutTargetState::kOrdered;
    evidence.target.generation = 7;
    evidence.since_order = absl::Seconds(1);
    sensor.desired_generation = 7;
    sensor.desired_digest = "d7";
    sensor.connected = true;
    sensor.observed_at = absl::UnixEpoch();
    Report(7, "d7");
  }
  void Report(uint64_t generation, const std::string& digest) {
    sensor.report.observed_generation = generation;
    sensor.report.observed_digest = digest;
  }
  // "" for no verdict, "enforced", or "failed: why".
  std::string Verdict() const {
    const auto verdict = JudgeTarget(rollout, evidence);
    if (!verdict) return "";
    return verdict->state == RolloutTargetState::kEnforced ? "enforced" : "failed: " + verdict->message;
  }
};

using Catch::Matchers::Contains;

TEST_CASE_METHOD(Ordered, "enforced means that the kernel was read back with the order, or with a newer one") {
  CHECK(Verdict() == "enforced");
  Report(6, "d6");
  CHECK(Verdict().empty());
  Report(7, "tampered");
  CHECK(Verdict().empty());
  sensor.desired_generation = 8;
  sensor.desired_digest = "d8";
  Report(8, "d8");
  CHECK(Verdict() == "enforced");
  sensor.report.receipt_complete = false;
  CHECK(Verdict().empty());
  sensor.report.failed_probe = "the probe wall_drops failed";
  CHECK_THAT(Verdict(), Contains("could not apply it") && Contains("wall_drops"));
}

TEST_CASE_METHOD(Ordered, "a sensor that refuses has failed, with its reason") {
  Report(6, "d6");
  sensor.failed_generation = 7;
  sensor.failed_reason = "no such hook";
  CHECK(Verdict() == "failed: the sensor could not apply it: no such hook");
  // A refusal from before the order says nothing about it.
  sensor.failed_generation = 6;
  CHECK(Verdict().empty());
}

TEST_CASE_METHOD(Ordered, "a policy that was refused alone fails the rollout that ordered it, and no other") {
  sensor.report.refused_policy = "the sensor refused policy p1: it is a shell";
  sensor.report.degraded = {"policy p1 is refused: it is a shell"};
  CHECK_THAT(Verdict(), Contains("failed: degraded since the order") && Contains("it is a shell"));
  rollout.allow_degraded = true;
  CHECK(Verdict().empty());
  evidence.target.degraded_before = sensor.report.degraded;
  CHECK(Verdict() == "enforced");
}

TEST_CASE_METHOD(Ordered, "late is failed, at the limit and not before, and an absent sensor is named as such") {
  Report(6, "d6");
  evidence.since_order = absl::Seconds(60);
  CHECK(Verdict().empty());
  evidence.since_order = absl::Seconds(61);
  CHECK(Verdict() == "failed: not in force within 1m: the kernel has generation 6 of 7");
  sensor.connected = false;
  CHECK_THAT(Verdict(), Contains("not connected"));
  evidence.sensor.reset();
  CHECK_THAT(Verdict(), Contains("deleted"));
}

TEST_CASE_METHOD(Ordered, "harm fails a sensor that enforces the order too") {
  for (const auto state : {RolloutTargetState::kOrdered, RolloutTargetState::kEnforced}) {
    evidence.target.state = state;
    sensor.report.critical = {"the kernel could not be read back"};
    CHECK_THAT(Verdict(), Contains("critical since the order") && Contains("read back"));
    sensor.report.critical.clear();
    sensor.report.degraded = {"old", "packet sockets get past"};
    evidence.target.degraded_before = {"old"};
    CHECK(Verdict() == "failed: degraded since the order: packet sockets get past");
    // Accepted by the order, or not its doing: from before it.
    rollout.allow_degraded = true;
    CHECK_FALSE(absl::StartsWith(Verdict(), "failed"));
    rollout.allow_degraded = false;
    Report(6, "d6");
    CHECK(Verdict().empty());
    Report(7, "d7");
    sensor.report.degraded = {"old"};
    CHECK_FALSE(absl::StartsWith(Verdict(), "failed"));
  }
}

TEST_CASE_METHOD(Ordered, "an enforced sensor fails when the order is rolled back, not when a later one does") {
  evidence.target.state = RolloutTargetState::kEnforced;
  CHECK(Verdict().empty());
  sensor.report.failed_probe = "the probe wall_drops failed";
  CHECK_THAT(Verdict(), Contains("no longer in force"));
  sensor.report.failed_probe.clear();
  sensor.desired_generation = 8;
  sensor.failed_generation = 8;
  CHECK(Verdict().empty());
  sensor.trust = Trust::kRevoked;
  sensor.connected = false;
  evidence.since_order = absl::Hours(5);
  CHECK(Verdict().empty());
}

TEST_CASE_METHOD(Ordered, "a revoked sensor will not enforce anything") {
  Report(6, "d6");
  sensor.trust = Trust::kRevoked;
  CHECK_THAT(Verdict(), Contains("revoked"));
}

}  // namespace
}  // namespace bulkhead::controlplane
