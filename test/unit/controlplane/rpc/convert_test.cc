// Domain values and messages: every enum name on both sides, every field once.
#include "controlplane/rpc/convert.h"

#include <limits>

#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

TEST_CASE("enums have the same numbers on both sides") {
  CHECK(static_cast<int>(PolicyTemplate::kNetworkContainment) == v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  CHECK(static_cast<int>(PolicyTemplate::kNetworkIsolation) == v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
  CHECK(static_cast<int>(PolicyTemplate::kBlockBinary) == v1::POLICY_TEMPLATE_BLOCK_BINARY);
  CHECK(static_cast<int>(PolicyAction::kDeny) == v1::POLICY_ACTION_DENY);
  CHECK(static_cast<int>(PolicyAction::kSigkill) == v1::POLICY_ACTION_SIGKILL);
  CHECK(static_cast<int>(PolicyAction::kNotify) == v1::POLICY_ACTION_NOTIFY);
  CHECK(static_cast<int>(Direction::kInbound) == v1::DIRECTION_INBOUND);
  CHECK(static_cast<int>(Direction::kOutbound) == v1::DIRECTION_OUTBOUND);
  CHECK(static_cast<int>(Direction::kAny) == v1::DIRECTION_ANY);
  CHECK(static_cast<int>(CommandState::kQueued) == v1::COMMAND_STATE_QUEUED);
  CHECK(static_cast<int>(CommandState::kDelivered) == v1::COMMAND_STATE_DELIVERED);
  CHECK(static_cast<int>(CommandState::kSucceeded) == v1::COMMAND_STATE_SUCCEEDED);
  CHECK(static_cast<int>(CommandState::kFailed) == v1::COMMAND_STATE_FAILED);
  CHECK(static_cast<int>(CommandState::kExpired) == v1::COMMAND_STATE_EXPIRED);
  CHECK(static_cast<int>(CommandOutcome::kGone) == v1::KILL_OUTCOME_GONE);
  CHECK(static_cast<int>(CommandOutcome::kAlreadyGone) == v1::KILL_OUTCOME_ALREADY_GONE);
  CHECK(static_cast<int>(CommandOutcome::kNotTheSameProcess) == v1::KILL_OUTCOME_NOT_THE_SAME_PROCESS);
  CHECK(static_cast<int>(CommandOutcome::kRefused) == v1::KILL_OUTCOME_REFUSED);
  CHECK(static_cast<int>(CommandOutcome::kSignalledStillThere) == v1::KILL_OUTCOME_SIGNALLED_STILL_THERE);
  CHECK(static_cast<int>(CommandOutcome::kUnknown) == v1::KILL_OUTCOME_UNKNOWN);
  CHECK(static_cast<int>(OnExpiry::kRelease) == v1::ON_EXPIRY_RELEASE);
  CHECK(static_cast<int>(OnExpiry::kHold) == v1::ON_EXPIRY_HOLD);
  CHECK(static_cast<int>(OnUnreachable::kRollBack) == v1::ON_UNREACHABLE_ROLL_BACK);
  CHECK(static_cast<int>(OnUnreachable::kHold) == v1::ON_UNREACHABLE_HOLD);
  CHECK(static_cast<int>(Tier::kNone) == v1::TIER_NONE);
  CHECK(static_cast<int>(Tier::kPartial) == v1::TIER_PARTIAL);
  CHECK(static_cast<int>(Tier::kWall) == v1::TIER_WALL);
  CHECK(static_cast<int>(Tier::kFull) == v1::TIER_FULL);
}

TEST_CASE("a receipt counts only where a wall is, and only what is required can fail it") {
  v1::ObservedState observed;
  CHECK(ReportOf(observed, {}, {}).receipt_complete);
  observed.set_isolated(true);
  CHECK_FALSE(ReportOf(observed, {}, {}).receipt_complete);
  observed.mutable_receipt()->set_complete(true);
  v1::ProbeResult* probe = observed.mutable_receipt()->add_probes();
  probe->set_name("control_plane_reachable");
  CHECK(ReportOf(observed, {}, {}).receipt_complete);
  CHECK(ReportOf(observed, {}, {}).failed_probe.empty());
  probe->set_required(true);
  CHECK(ReportOf(observed, {}, {}).failed_probe.find("control_plane_reachable") != std::string::npos);
  observed.set_isolated(false);
  CHECK(ReportOf(observed, {}, {}).failed_probe.empty());
}

TEST_CASE("the first policy that a sensor refused alone is in the report, with the reason") {
  v1::ObservedState observed;
  observed.add_policies()->set_policy_id("p1");
  CHECK(ReportOf(observed, {}, {}).refused_policy.empty());
  v1::ObservedPolicy* refused = observed.add_policies();
  refused->set_policy_id("p2");
  refused->set_refused("it is a shell");
  CHECK(ReportOf(observed, {}, {}).refused_policy == "the sensor refused policy p2: it is a shell");
}

TEST_CASE("kills of several go to the sensor as what they are, and their evidence comes back whole") {
  Command command{.id = "c", .kind = CommandKind::kKillTree};
  command.process.pid = 42;
  command.process.boot_id = "b";
  CHECK(ToProto(command).kill_group().tree().pid() == 42);
  CHECK(ToProto(command).kill_group().tree().boot_id() == "b");
  CHECK(ToProto(command).kill_group().tree().has_not_started_after());
  CHECK_FALSE(ToProto(command).has_kill_process());
  command = Command{.id = "c", .kind = CommandKind::kKillFile, .file = {"/x", std::string(32, 'h')}};
  CHECK(ToProto(command).kill_group().file().path() == "/x");
  CHECK(ToProto(command).kill_group().file().sha256() == std::string(32, 'h'));
  command = Command{.id = "c", .kind = CommandKind::kKillScope, .scope = {ScopeKind::kSystemdUnit, "a.service"}};
  CHECK(ToProto(command).kill_group().scope().systemd_unit() == "a.service");

  v1::KillGroupResult sent;
  CHECK_CODE(FromProto(sent), kInvalidArgument);
  sent.set_outcome(v1::KILL_OUTCOME_SIGNALLED_STILL_THERE);
  sent.set_killed(3);
  sent.set_message("m");
  sent.add_processes()->set_pid(7);
  const auto result = FromProto(sent);
  REQUIRE_OK(result);
  CHECK(result->outcome == CommandOutcome::kSignalledStillThere);
  command.result = *result;
  const v1::Command shown = ToProto(command);
  CHECK(shown.kill_group_result().SerializeAsString() == sent.SerializeAsString());
  CHECK_FALSE(shown.has_kill_result());
  command.result->evidence = "\xff\xff";  // of a program that wrote something else
  CHECK(ToProto(command).kill_group_result().message() == "m");
  for (int i = 0; i < 256; ++i) sent.add_processes();
  CHECK_CODE(FromProto(sent), kInvalidArgument);
}

TEST_CASE("times keep their nanoseconds, before the epoch too") {
  const absl::Time time = absl::FromUnixSeconds(-2) + absl::Nanoseconds(750'000'001);
  const auto proto = ToProto(time);
  CHECK(proto.seconds() == -2);
  CHECK(proto.nanos() == 750'000'001);
  CHECK(FromProto(proto) == time);
}

TEST_CASE("a timestamp out of range becomes the nearest that is in it") {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(std::numeric_limits<int64_t>::max());
  timestamp.set_nanos(-5);
  CHECK(absl::FormatTime("%Y", FromProto(timestamp), absl::UTCTimeZone()) == "9999");
}

TEST_CASE("a desired state says what its policies amount to") {
  DesiredState state{
      .sensor_id = "s", .generation = 7, .digest = std::string(32, 'd'), .policies = {}, .isolation_rules = {}};
  CHECK_FALSE(ToProto(state).contained());
  state.policies.push_back({.policy_template = PolicyTemplate::kNetworkContainment});
  state.policies.push_back({.policy_template = PolicyTemplate::kBlockBinary, .binary_path = "/usr/bin/nc"});
  IsolationRule rule;
  rule.remote = *IpPrefix::Parse("2001:db8::/32");
  rule.first_port = 53;
  rule.last_port = 54;
  state.isolation_rules = {rule, IsolationRule{}};
  const v1::DesiredState proto = ToProto(state);
  CHECK(proto.contained());
  CHECK_FALSE(proto.isolated());
  CHECK(proto.generation() == 7);
  CHECK(proto.digest() == state.digest);
  REQUIRE(proto.enforcement_policies_size() == 2);
  CHECK_FALSE(proto.enforcement_policies(0).has_block_binary());
  CHECK(proto.enforcement_policies(1).block_binary().path() == "/usr/bin/nc");
  REQUIRE(proto.isolation_rules_size() == 2);
  CHECK(proto.isolation_rules(0).address() == "2001:db8::/32");
  CHECK(proto.isolation_rules(0).ports().last() == 54);
  CHECK(proto.isolation_rules(1).address().empty());
  CHECK_FALSE(proto.isolation_rules(1).has_ports());
}

TEST_CASE("a kill result without an outcome is refused") {
  v1::KillResult result;
  CHECK_CODE(FromProto(result), kInvalidArgument);
  result.set_outcome(static_cast<v1::KillOutcome>(77));
  CHECK_CODE(FromProto(result), kInvalidArgument);
  result.set_outcome(v1::KILL_OUTCOME_GONE);
  result.set_found("sleep 1000");
  const auto kill = FromProto(result);
  REQUIRE_OK(kill);
  CHECK(kill->outcome == CommandOutcome::kGone);
  CHECK(kill->found == "sleep 1000");
}

TEST_CASE("orders to the guard and their results keep what they say") {
  CHECK_CODE(FromProto(v1::GuardResult()), kInvalidArgument);
  Command command{.id = "c", .kind = CommandKind::kLowerGuard, .guard_down = absl::Minutes(10)};
  CHECK(ToProto(command).lower_guard().duration().seconds() == 600);
  CHECK_FALSE(ToProto(command).has_kill_process());
  CHECK_FALSE(ToProto(command).has_guard_result());
  for (const CommandOutcome outcome :
       {CommandOutcome::kDone, CommandOutcome::kRefused, CommandOutcome::kFailed, CommandOutcome::kUnknown}) {
    command.result = CommandResult{outcome, "", "text"};
    const auto again = FromProto(ToProto(command).guard_result());
    REQUIRE_OK(again);
    CHECK(again->outcome == outcome);
    CHECK(again->message == "text");
  }
  command = Command{.id = "c", .kind = CommandKind::kSetGuardCode, .guard_code_hash = std::string(32, 'h')};
  CHECK(ToProto(command).set_guard_code().sha256() == std::string(32, 'h'));
}

TEST_CASE("a report keeps the messages whole and lifts out what decisions need") {
  v1::ObservedState observed;
  observed.mutable_receipt()->set_generation(3);
  observed.mutable_receipt()->set_digest(std::string(32, 'x'));
  observed.add_degraded("no kprobe");
  observed.add_critical("maps changed");
  v1::HostInfo host;
  host.set_boot_id("b");
  v1::Capabilities capabilities;
  capabilities.set_containment_tier(v1::TIER_WALL);
  capabilities.set_isolation_tier(static_cast<v1::Tier>(42));
  const SensorReport report = ReportOf(observed, host, capabilities);
  CHECK(report.observed_generation == 3);
  CHECK(report.observed_digest == std::string(32, 'x'));
  CHECK(report.degraded == std::vector<std::string>{"no kprobe"});
  CHECK(report.critical == std::vector<std::string>{"maps changed"});
  CHECK(report.boot_id == "b");
  CHECK(report.containment_tier == Tier::kWall);
  CHECK(report.isolation_tier == Tier::kUnknown);
  v1::ObservedState again;
  REQUIRE(again.ParseFromString(report.observed));
  CHECK(again.degraded(0) == "no kprobe");
}

}  // namespace
}  // namespace bulkhead::controlplane
