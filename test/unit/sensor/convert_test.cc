// Everything that comes in is checked, with the field named; everything that goes out can be parsed.
#include <catch2/catch.hpp>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "harness/status_matchers.h"
#include "sensor/link/convert_in.h"
#include "sensor/link/convert_out.h"
#include "sensor/link/state_codec.h"

namespace bulkhead::sensor {
namespace {

const absl::Time kReceived = absl::FromUnixSeconds(1005);
constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";

v1::DesiredState ValidState() {
  v1::DesiredState state;
  state.set_sensor_id(kSensor);
  state.set_generation(7);
  state.set_digest(std::string(32, 'd'));
  state.set_isolated(true);
  v1::EnforcementPolicy* isolation = state.add_enforcement_policies();
  isolation->set_id("p1");
  isolation->set_template_(v1::POLICY_TEMPLATE_NETWORK_ISOLATION);
  v1::EnforcementPolicy* block = state.add_enforcement_policies();
  block->set_id("p2");
  block->set_template_(v1::POLICY_TEMPLATE_BLOCK_BINARY);
  block->mutable_block_binary()->set_path("/usr/bin/nc");
  block->mutable_block_binary()->set_sha256(std::string(32, '\xab'));
  block->mutable_block_binary()->set_kill_running(true);
  block->mutable_block_binary()->set_forced(true);
  v1::IsolationRule* rule = state.add_isolation_rules();
  rule->set_address("10.0.0.0/8");
  rule->mutable_ports()->set_first(22);
  rule->mutable_ports()->set_last(23);
  rule->set_protocol(6);
  rule->set_direction(v1::DIRECTION_INBOUND);
  return state;
}

v1::Command ValidCommand() {
  v1::Command command;
  command.set_id("22222222-2222-4333-8444-555555555555");
  command.set_sensor_id(kSensor);
  command.mutable_kill_process()->set_pid(42);
  command.mutable_kill_process()->mutable_not_started_after()->set_seconds(1000);
  command.mutable_not_after()->set_seconds(2000);
  return command;
}

TEST_CASE("an allow-list survives the way in and out, and what was learned is told") {
  v1::DesiredState sent = ValidState();
  v1::EnforcementPolicy* list = sent.add_enforcement_policies();
  list->set_id("p3");
  list->set_template_(v1::POLICY_TEMPLATE_ALLOW_LIST);
  list->mutable_scope()->set_systemd_unit("nginx.service");
  list->mutable_allow_list()->set_learn(true);
  list->mutable_allow_list()->add_binaries()->set_path("/usr/sbin/nginx");
  list->mutable_allow_list()->add_binaries()->set_sha256(std::string(32, '\xcd'));
  const auto state = DesiredStateFromProto(sent, kReceived);
  REQUIRE_OK(state);
  const Policy& policy = state->policies[2];
  CHECK(policy.policy_template == PolicyTemplate::kAllowList);
  CHECK(policy.action == PolicyAction::kDeny);
  CHECK(policy.learn);
  CHECK(policy.allowed == std::vector<AllowedBinary>{{"/usr/sbin/nginx", ""}, {"", std::string(32, '\xcd')}});
  const auto again = DesiredStateFromProto(DesiredStateToProto(*state), kReceived);
  REQUIRE_OK(again);
  CHECK(*again == *state);
  sent.mutable_enforcement_policies(2)->mutable_allow_list()->set_learn(false);
  sent.mutable_enforcement_policies(2)->mutable_allow_list()->set_kill_running(true);
  const auto kills = DesiredStateFromProto(sent, kReceived);
  REQUIRE_OK(kills);
  CHECK(kills->policies[2].kill_running);
  CHECK(DesiredStateFromProto(DesiredStateToProto(*kills), kReceived).value() == *kills);

  ObservedState observed;
  observed.policies.emplace_back();
  observed.policies[0].learned = {{"/usr/sbin/nginx", std::string(32, 'x')}, {"/tmp/\xff", std::string(32, 'y')}};
  observed.policies[0].learned_truncated = true;
  const v1::ObservedPolicy told = ObservedStateToProto(observed).policies(0);
  REQUIRE(told.learned_size() == 2);
  CHECK(told.learned(0).path() == "/usr/sbin/nginx");
  CHECK(told.learned(1).path().empty());  // no text
  CHECK(told.learned(1).sha256() == std::string(32, 'y'));
  CHECK(told.learned_truncated());
}

TEST_CASE("a block-list survives the way in and out, and 100 000 digests fit into one message") {
  v1::DesiredState sent = ValidState();
  v1::EnforcementPolicy* policy = sent.add_enforcement_policies();
  policy->set_id("p4");
  policy->set_template_(v1::POLICY_TEMPLATE_BLOCK_BINARY);
  v1::BlockList* list = policy->mutable_block_binary()->mutable_list();
  list->set_name("feed");
  list->add_binaries()->set_path("/tmp/miner");
  while (list->binaries_size() < 100000) list->add_binaries()->set_sha256(std::string(32, '\xcd'));
  CHECK(sent.ByteSizeLong() < 4 * 1000 * 1000);
  const auto state = DesiredStateFromProto(sent, kReceived);
  REQUIRE_OK(state);
  CHECK(state->policies[2].block_list == "feed");
  REQUIRE(state->policies[2].blocked.size() == 100000);
  CHECK(state->policies[2].blocked[0] == BlockedBinary{"/tmp/miner", ""});
  CHECK(state->policies[2].blocked[1] == BlockedBinary{"", std::string(32, '\xcd')});
  const auto again = DesiredStateFromProto(DesiredStateToProto(*state), kReceived);
  REQUIRE_OK(again);
  CHECK(*again == *state);
}

TEST_CASE("a desired state survives the way in and out") {
  const auto state = DesiredStateFromProto(ValidState(), kReceived);
  REQUIRE_OK(state);
  CHECK(state->generation == 7);
  CHECK(state->digest[31] == 'd');
  CHECK(state->policies[0].action == PolicyAction::kDeny);
  CHECK(state->policies[1].action == PolicyAction::kSigkill);
  CHECK(state->policies[1].binary_path == "/usr/bin/nc");
  CHECK(state->policies[1].binary_sha256 == std::string(32, '\xab'));
  CHECK(state->policies[1].kill_running);
  CHECK(state->policies[1].forced);
  CHECK(state->isolation_rules[0].remote.ToString() == "10.0.0.0/8");
  CHECK(state->isolation_rules[0].last_port == 23);
  const auto again = DecodeDesiredState(EncodeDesiredState(*state, kReceived), kReceived);
  REQUIRE_OK(again);
  CHECK(*again == *state);
}

TEST_CASE("a malformed desired state is refused with the field") {
  struct Case {
    const char* field;
    std::function<void(v1::DesiredState*)> spoil;
  };
  const Case cases[] = {
      {"sensor_id", [](auto* s) { s->set_sensor_id("me"); }},
      {"digest", [](auto* s) { s->set_digest("short"); }},
      {"enforcement_policies[0].id", [](auto* s) { s->mutable_enforcement_policies(0)->clear_id(); }},
      {"enforcement_policies[0].name",
       [](auto* s) { s->mutable_enforcement_policies(0)->set_name(std::string(257, 'n')); }},
      {"enforcement_policies[0].template", [](auto* s) { s->mutable_enforcement_policies(0)->clear_template_(); }},
      {"enforcement_policies[0].template",
       [](auto* s) { s->mutable_enforcement_policies(0)->set_template_(static_cast<v1::PolicyTemplate>(99)); }},
      {"enforcement_policies[0].action",
       [](auto* s) { s->mutable_enforcement_policies(0)->set_action(static_cast<v1::PolicyAction>(99)); }},
      {"enforcement_policies[0].on_expiry",
       [](auto* s) { s->mutable_enforcement_policies(0)->set_on_expiry(static_cast<v1::OnExpiry>(9)); }},
      {"enforcement_policies[0].on_unreachable",
       [](auto* s) { s->mutable_enforcement_policies(0)->set_on_unreachable(static_cast<v1::OnUnreachable>(9)); }},
      {"enforcement_policies[0].scope", [](auto* s) { s->mutable_enforcement_policies(0)->mutable_scope(); }},
      {"enforcement_policies[0].scope",
       [](auto* s) { s->mutable_enforcement_policies(0)->mutable_scope()->set_cgroup("relative"); }},
      {"enforcement_policies[0].scope",
       [](auto* s) { s->mutable_enforcement_policies(0)->mutable_scope()->set_container("nginx"); }},
      {"enforcement_policies[0].expires_at",
       [](auto* s) { s->mutable_enforcement_policies(0)->mutable_expires_at()->set_seconds(-1); }},
      {"sent_at", [](auto* s) { s->mutable_sent_at()->set_nanos(-1); }},
      {"isolation_rules[0].address", [](auto* s) { s->mutable_isolation_rules(0)->set_address("10.0.0.1/8"); }},
      {"isolation_rules[0].ports", [](auto* s) { s->mutable_isolation_rules(0)->mutable_ports()->set_last(70000); }},
      {"isolation_rules[0].ports", [](auto* s) { s->mutable_isolation_rules(0)->mutable_ports()->set_first(0); }},
      {"isolation_rules[0].protocol", [](auto* s) { s->mutable_isolation_rules(0)->set_protocol(256); }},
      {"isolation_rules[0].direction", [](auto* s) { s->mutable_isolation_rules(0)->clear_direction(); }},
      {"enforcement_policies", [](auto* s) { s->set_isolated(false); }},
      {"enforcement_policies", [](auto* s) { s->set_contained(true); }},
  };
  for (const Case& one : cases) {
    INFO(one.field);
    v1::DesiredState state = ValidState();
    one.spoil(&state);
    const auto result = DesiredStateFromProto(state, kReceived);
    CHECK_CODE(result, kInvalidArgument);
    CHECK(absl::StrContains(result.status().message(), one.field));
  }
}

TEST_CASE("scopes of every kind survive the way in and out, and belong to no flag") {
  v1::DesiredState sent = ValidState();
  for (int i = 0; i < 3; ++i) {
    v1::EnforcementPolicy* policy = sent.add_enforcement_policies();
    policy->set_id(absl::StrCat("p", i));
    policy->set_template_(v1::POLICY_TEMPLATE_NETWORK_CONTAINMENT);
  }
  sent.mutable_enforcement_policies(2)->mutable_scope()->set_cgroup("/system.slice/nginx.service");
  sent.mutable_enforcement_policies(3)->mutable_scope()->set_systemd_unit("nginx.service");
  sent.mutable_enforcement_policies(4)->mutable_scope()->set_container("0123456789ab");
  const auto state = DesiredStateFromProto(sent, kReceived);
  REQUIRE_OK(state);
  CHECK_FALSE(state->contained());
  CHECK_FALSE(state->policies[0].scope.has_value());
  CHECK(state->policies[2].scope == PolicyScope{PolicyScope::Kind::kCgroup, "/system.slice/nginx.service"});
  CHECK(state->policies[3].scope == PolicyScope{PolicyScope::Kind::kSystemdUnit, "nginx.service"});
  CHECK(state->policies[4].scope == PolicyScope{PolicyScope::Kind::kContainer, "0123456789ab"});
  const auto again = DecodeDesiredState(EncodeDesiredState(*state, kReceived), kReceived);
  REQUIRE_OK(again);
  CHECK(*again == *state);
}

TEST_CASE("a lease ends by the sensor's clock, however far it is from the control plane's") {
  v1::DesiredState sent = ValidState();
  sent.mutable_enforcement_policies(0)->mutable_expires_at()->set_seconds(2000);
  sent.mutable_enforcement_policies(0)->set_on_expiry(v1::ON_EXPIRY_HOLD);
  sent.mutable_sent_at()->set_seconds(1005);
  for (const absl::Duration ahead :
       {-absl::Hours(24), -absl::Milliseconds(27), absl::ZeroDuration(), absl::Hours(24)}) {
    INFO(absl::FormatDuration(ahead));
    const auto state = DesiredStateFromProto(sent, absl::FromUnixSeconds(1005) + ahead);
    REQUIRE_OK(state);
    CHECK(state->policies[0].expires_at == absl::FromUnixSeconds(2000) + ahead);
    CHECK(state->policies[0].on_expiry == OnExpiry::kHold);
    CHECK_FALSE(state->policies[1].expires_at.has_value());
  }
}

TEST_CASE("a stored lease has what is left of it after a reboot, and never more than it had") {
  v1::DesiredState sent = ValidState();
  sent.mutable_enforcement_policies(0)->mutable_expires_at()->set_seconds(2000);
  const auto state = DesiredStateFromProto(sent, kReceived);
  REQUIRE_OK(state);
  const absl::Time stored = absl::FromUnixSeconds(1100);
  const std::string bytes = EncodeDesiredState(*state, stored);
  // The clock went on: the end is where it was, also when it has passed meanwhile.
  for (const int64_t now : {1100, 1500, 3000}) {
    CHECK(DecodeDesiredState(bytes, absl::FromUnixSeconds(now))->policies[0].expires_at == absl::FromUnixSeconds(2000));
  }
  // The clock was set back: what was left when it was stored is left now.
  CHECK(DecodeDesiredState(bytes, absl::FromUnixSeconds(100))->policies[0].expires_at == absl::FromUnixSeconds(1000));
}

TEST_CASE("a command's times are read by the sensor's clock, however far it is from the control plane's") {
  v1::Command sent = ValidCommand();
  sent.mutable_sent_at()->set_seconds(1005);
  for (const absl::Duration ahead :
       {-absl::Hours(24), -absl::Milliseconds(27), absl::ZeroDuration(), absl::Hours(24)}) {
    INFO(absl::FormatDuration(ahead));
    const auto command = CommandFromProto(sent, absl::FromUnixSeconds(1005) + ahead);
    REQUIRE_OK(command);
    CHECK(command->process.not_started_after == absl::FromUnixSeconds(1000) + ahead);
    CHECK(command->not_after == absl::FromUnixSeconds(2000) + ahead);
  }
  sent.mutable_kill_process()->clear_not_started_after();
  sent.mutable_kill_process()->set_start_time_ticks(9);
  CHECK(CommandFromProto(sent, kReceived)->process.not_started_after == absl::InfiniteFuture());
}

TEST_CASE("a command survives, and a malformed one is refused with the field") {
  const auto command = CommandFromProto(ValidCommand(), kReceived);
  REQUIRE_OK(command);
  CHECK(command->process.pid == 42);
  CHECK(command->process.not_started_after == absl::FromUnixSeconds(1000));
  CHECK(command->not_after == absl::FromUnixSeconds(2000));
  struct Case {
    const char* field;
    std::function<void(v1::Command*)> spoil;
  };
  const Case cases[] = {
      {"id", [](auto* c) { c->set_id("1"); }},
      {"kill_process", [](auto* c) { c->clear_kill_process(); }},
      {"kill_process.pid", [](auto* c) { c->mutable_kill_process()->set_pid(1); }},
      {"kill_process.pid", [](auto* c) { c->mutable_kill_process()->set_pid(4194305); }},
      {"kill_process.executable", [](auto* c) { c->mutable_kill_process()->set_executable("nc"); }},
      {"kill_process", [](auto* c) { c->mutable_kill_process()->clear_not_started_after(); }},
      {"kill_process.not_started_after",
       [](auto* c) { c->mutable_kill_process()->mutable_not_started_after()->set_nanos(-1); }},
      {"not_after", [](auto* c) { c->clear_not_after(); }},
      {"not_after", [](auto* c) { c->mutable_not_after()->set_seconds(INT64_MAX); }},
      {"sent_at", [](auto* c) { c->mutable_sent_at()->set_nanos(1'000'000'000); }},
  };
  for (const Case& one : cases) {
    INFO(one.field);
    v1::Command spoiled = ValidCommand();
    one.spoil(&spoiled);
    const auto result = CommandFromProto(spoiled, kReceived);
    CHECK_CODE(result, kInvalidArgument);
    CHECK(absl::StrContains(result.status().message(), one.field));
  }
}

TEST_CASE("an order to the tamper guard survives, and a malformed one is refused with the field") {
  v1::Command lower = ValidCommand();
  lower.clear_kill_process();
  lower.mutable_lower_guard()->mutable_duration()->set_seconds(3600);
  const auto lowered = CommandFromProto(lower, kReceived);
  REQUIRE_OK(lowered);
  REQUIRE(lowered->guard.has_value());
  CHECK(std::get<LowerGuard>(*lowered->guard).duration == absl::Hours(1));
  for (const int64_t seconds : {int64_t{0}, int64_t{-1}, int64_t{3601}, INT64_MAX}) {
    lower.mutable_lower_guard()->mutable_duration()->set_seconds(seconds);
    CHECK_CODE(CommandFromProto(lower, kReceived), kInvalidArgument);
  }
  lower.mutable_lower_guard()->mutable_duration()->set_seconds(1);
  lower.mutable_set_guard_code()->set_sha256(std::string(32, 'h'));
  CHECK_CODE(CommandFromProto(lower, kReceived), kInvalidArgument);  // two orders in one
  lower.clear_lower_guard();
  CHECK(std::get<SetGuardCode>(*CommandFromProto(lower, kReceived)->guard).hash == std::string(32, 'h'));
  lower.mutable_set_guard_code()->set_sha256("short");
  CHECK(absl::StrContains(CommandFromProto(lower, kReceived).status().message(), "set_guard_code.sha256"));
}

TEST_CASE("results of kills and of orders to the guard go out as what they are") {
  const auto sent = [](CommandOutcome outcome, bool of_guard) {
    const CommandKind kind = of_guard ? CommandKind::kGuard : CommandKind::kKillProcess;
    return MessageToProto(CommandResultMessage{"c", {outcome, "", "text"}, kind}).command_result();
  };
  CHECK(sent(CommandOutcome::kGone, false).kill_result().outcome() == v1::KILL_OUTCOME_GONE);
  CHECK_FALSE(sent(CommandOutcome::kGone, false).has_guard_result());
  CHECK(sent(CommandOutcome::kDone, true).guard_result().outcome() == v1::GUARD_OUTCOME_DONE);
  CHECK(sent(CommandOutcome::kRefused, true).guard_result().outcome() == v1::GUARD_OUTCOME_REFUSED);
  CHECK(sent(CommandOutcome::kFailed, true).guard_result().outcome() == v1::GUARD_OUTCOME_FAILED);
  CHECK(sent(CommandOutcome::kUnknown, true).guard_result().outcome() == v1::GUARD_OUTCOME_UNKNOWN);
  CHECK(sent(CommandOutcome::kDone, true).guard_result().message() == "text");
}

TEST_CASE("the kill of a group survives, and a malformed one is refused with the field") {
  v1::Command command = ValidCommand();
  const v1::ProcessIdentity root = command.kill_process();
  command.clear_kill_process();
  *command.mutable_kill_group()->mutable_tree() = root;
  const auto tree = CommandFromProto(command, kReceived);
  REQUIRE_OK(tree);
  REQUIRE(tree->kind() == CommandKind::kKillGroup);
  CHECK(std::get<ProcessTree>(*tree->group).root.pid == root.pid());
  // As for a single kill: the control plane's clock counts, not this host's.
  CHECK(std::get<ProcessTree>(*tree->group).root.not_started_after ==
        CommandFromProto(ValidCommand(), kReceived)->process.not_started_after);
  command.mutable_kill_group()->mutable_file()->set_path("/tmp/.x");
  command.mutable_kill_group()->mutable_file()->set_sha256(std::string(32, 'h'));
  const auto file = CommandFromProto(command, kReceived);
  REQUIRE_OK(file);
  CHECK(std::get<RunningFile>(*file->group).path == "/tmp/.x");
  CHECK(std::get<RunningFile>(*file->group).sha256 == std::string(32, 'h'));
  command.mutable_kill_group()->mutable_scope()->set_systemd_unit("web.service");
  const auto scope = CommandFromProto(command, kReceived);
  REQUIRE_OK(scope);
  CHECK(std::get<PolicyScope>(*scope->group) == PolicyScope{PolicyScope::Kind::kSystemdUnit, "web.service"});

  const auto refused = [](const v1::KillGroup& group, const std::string& field) {
    v1::Command spoiled = ValidCommand();
    spoiled.clear_kill_process();
    *spoiled.mutable_kill_group() = group;
    INFO(field);
    const auto result = CommandFromProto(spoiled, kReceived);
    CHECK_CODE(result, kInvalidArgument);
    CHECK(absl::StrContains(result.status().message(), field));
  };
  v1::KillGroup group;
  refused(group, "kill_group");
  group.mutable_tree()->set_pid(1);
  refused(group, "kill_group.tree.pid");
  group.mutable_file();
  refused(group, "kill_group.file");
  group.mutable_file()->set_path("nc");
  refused(group, "kill_group.file.path");
  group.mutable_file()->set_path("/nc");
  group.mutable_file()->set_sha256("short");
  refused(group, "kill_group.file.sha256");
  group.mutable_scope()->set_cgroup("/a/../b");
  refused(group, "kill_group.scope");
}

TEST_CASE("the result of a group goes out with its evidence") {
  CommandResult result{CommandOutcome::kSignalledStillThere, "", "text"};
  result.group = {{1, 2, 3}, {{7, CommandOutcome::kRefused, "seven \xff", "why"}}};
  const v1::CommandResult out =
      MessageToProto(CommandResultMessage{"c", result, CommandKind::kKillGroup}).command_result();
  CHECK_FALSE(out.has_kill_result());
  const v1::KillGroupResult& group = out.kill_group_result();
  CHECK(group.outcome() == v1::KILL_OUTCOME_SIGNALLED_STILL_THERE);
  CHECK(group.message() == "text");
  CHECK(group.killed() == 1);
  CHECK(group.refused() == 2);
  CHECK(group.still_there() == 3);
  REQUIRE(group.processes_size() == 1);
  CHECK(group.processes(0).pid() == 7);
  CHECK(group.processes(0).found() == "seven ?");
  CHECK(group.processes(0).message() == "why");
  CHECK(group.processes(0).outcome() == v1::KILL_OUTCOME_REFUSED);
  const v1::KillGroupResult other =
      MessageToProto(
          CommandResultMessage{"c", {CommandOutcome::kNotTheSameProcess, "pid 7 sh", "text"}, CommandKind::kKillGroup})
          .command_result()
          .kill_group_result();
  CHECK(other.message() == "text; found pid 7 sh");
}

TEST_CASE("an event goes out with who did it and where") {
  Event event{absl::FromUnixSeconds(5), EventKind::kExecDenied, "p", 7, "x", "text"};
  event.uid = 1000;
  event.parent_pid = 6;
  event.parent_comm = "sh\xff";
  event.cgroup = "/a";
  event.container = "c";
  const v1::Event out = MessageToProto(EventBatchMessage{{{1, event}}}).event_batch().events(0);
  CHECK(out.uid() == 1000);
  CHECK(out.parent_pid() == 6);
  CHECK(out.parent_comm() == "sh?");
  CHECK(out.cgroup() == "/a");
  CHECK(out.container() == "c");
  ObservedState observed;
  observed.policies.resize(1);
  observed.policies[0].respawns = 3;
  CHECK(ObservedStateToProto(observed).policies(0).respawns() == 3);
}

TEST_CASE("the guard's state goes out") {
  ObservedState observed;
  observed.guard = {GuardState::kLowered, absl::FromUnixSeconds(99), "", true, 7};
  const v1::TamperGuard guard = ObservedStateToProto(observed).tamper_guard();
  CHECK(guard.state() == v1::GUARD_STATE_LOWERED);
  CHECK(guard.lowered_until().seconds() == 99);
  CHECK(guard.has_code());
  CHECK(guard.refusals() == 7);
  CHECK(static_cast<int>(GuardState::kOff) == v1::GUARD_STATE_OFF);
  CHECK(static_cast<int>(GuardState::kUp) == v1::GUARD_STATE_UP);
  CHECK(static_cast<int>(GuardState::kUnavailable) == v1::GUARD_STATE_UNAVAILABLE);
  CHECK(static_cast<int>(EventKind::kTamper) == v1::EVENT_KIND_TAMPER);
}

TEST_CASE("messages that cannot be answered end the stream") {
  CHECK_CODE(MessageFromProto(v1::ConnectResponse(), "x", kReceived), kInvalidArgument);
  v1::ConnectResponse welcome;
  welcome.mutable_welcome();
  CHECK_CODE(MessageFromProto(welcome, "x", kReceived), kInvalidArgument);
  welcome.mutable_welcome()->set_heartbeat_interval_seconds(3601);
  CHECK_CODE(MessageFromProto(welcome, "x", kReceived), kInvalidArgument);
}

TEST_CASE("a malformed desired state still tells its generation, so that it can be refused") {
  v1::ConnectResponse message;
  *message.mutable_heartbeat_response()->mutable_desired_state() = ValidState();
  message.mutable_heartbeat_response()->mutable_desired_state()->set_digest("short");
  const auto converted = MessageFromProto(message, "x", kReceived);
  REQUIRE_OK(converted);
  const auto& desired = std::get<LinkDesiredState>(*converted);
  CHECK(desired.generation == 7);
  CHECK_CODE(desired.state, kInvalidArgument);
}

TEST_CASE("text from the kernel is made UTF-8, so that one process name cannot stop a heartbeat") {
  const std::string cases[][2] = {{"plain", "plain"},
                                  {"\xff\xfe", "??"},
                                  {"a\xc3\xa4", "a\xc3\xa4"},
                                  {"\xc3", "?"},
                                  {"\xe2\x82\xac", "\xe2\x82\xac"},
                                  {"\xe0\x80\x80", "???"},
                                  {"\xed\xa0\x80", "???"},
                                  {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
                                  {"\xf4\x90\x80\x80", "????"}};
  for (const auto& [raw, expected] : cases) {
    Event event;
    event.comm = raw;
    const v1::ConnectRequest message = MessageToProto(EventBatchMessage{{{1, event}}});
    CHECK(message.event_batch().events(0).comm() == expected);
    v1::ConnectRequest parsed;
    CHECK(parsed.ParseFromString(message.SerializeAsString()));
  }
}

TEST_CASE("bytes that are not a desired state are refused") {
  CHECK_CODE(DecodeDesiredState("\xff\xff", kReceived), kDataLoss);
  CHECK_CODE(DecodeDesiredState("", kReceived), kInvalidArgument);
}

}  // namespace
}  // namespace bulkhead::sensor
