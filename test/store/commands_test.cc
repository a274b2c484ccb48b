// Commands: the stored state machine, deadlines, results.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/guard_code.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

absl::Status Deliver(Store& store, const std::string& id) {
  return store.Run([&](Transaction& tx) { return tx.MarkDelivered({id}); });
}

absl::Status Finish(Store& store, const Command& command, CommandOutcome outcome, const std::string& message = "") {
  return store.Run([&](Transaction& tx) {
    return tx.FinishCommand(command.sensor_id, command.id, {outcome, "found", message});
  });
}

Command Get(Store& store, const std::string& id) {
  auto command = Give(store, [&](Transaction& tx) { return tx.GetCommand(id); });
  REQUIRE_OK(command);
  return *command;
}

std::vector<Command> Open(Store& store, const std::string& sensor_id) {
  auto commands = Give(store, [&](Transaction& tx) { return tx.OpenCommands(sensor_id); });
  REQUIRE_OK(commands);
  return *commands;
}

TEST_CASE("an order to the guard has the state machine of a kill, and a record in the audit log") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const auto ordered = Give(*store, [&](Transaction& tx) {
    return orders::LowerGuard(tx, By("ada"), "web-1", absl::ZeroDuration(), absl::ZeroDuration(), absl::Now());
  });
  REQUIRE_OK(ordered);
  CHECK(ordered->kind == CommandKind::kLowerGuard);
  CHECK(ordered->guard_down == absl::Minutes(10));
  REQUIRE(Open(*store, sensor.id).size() == 1);
  REQUIRE_OK(Deliver(*store, ordered->id));
  REQUIRE_OK(Finish(*store, *ordered, CommandOutcome::kGone));  // not what such a command can end with
  CHECK(Get(*store, ordered->id).state == CommandState::kFailed);
  CHECK(Get(*store, ordered->id).result->outcome == CommandOutcome::kUnknown);
  REQUIRE_OK(Finish(*store, *ordered, CommandOutcome::kDone));
  CHECK(Get(*store, ordered->id).state == CommandState::kFailed);
  const auto audit = store->ListAudit("sensor/" + sensor.id, 1, "");
  REQUIRE_OK(audit);
  CHECK(audit->items[0].action == "guard_lower_ordered");
  for (const absl::Duration wrong : {-absl::Seconds(1), absl::Milliseconds(1500), absl::Hours(1) + absl::Seconds(1)}) {
    CHECK(FieldOf(Give(*store, [&](Transaction& tx) {
                    return orders::LowerGuard(tx, By("ada"), "web-1", wrong, absl::ZeroDuration(), absl::Now());
                  }).status()) == "duration");
  }
}

absl::StatusOr<Command> KillAll(Store& store, const orders::KillGroup& group,
                                const OrderContext& context = By("olga")) {
  return Give(store, [&](Transaction& tx) {
    return orders::KillProcesses(tx, context, "web-1", group, absl::ZeroDuration(), absl::Now());
  });
}

TEST_CASE("the kill of several is stored as it was ordered, with its evidence, and audited") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  ProcessIdentity root;
  root.pid = 42;
  root.executable = "/bin/sh";
  const std::string digest(32, '\0');
  const auto tree = KillAll(*store, root);
  const auto file = KillAll(*store, RunningFile{"/tmp/.x", digest});
  const auto scope = KillAll(*store, Scope{ScopeKind::kContainer, "0123456789ab"});
  REQUIRE_OK(tree);
  REQUIRE_OK(file);
  REQUIRE_OK(scope);
  CHECK(tree->kind == CommandKind::kKillTree);
  CHECK(tree->process.pid == 42);
  CHECK(tree->process.executable == "/bin/sh");
  CHECK(tree->process.not_started_after <= absl::Now());
  CHECK(file->kind == CommandKind::kKillFile);
  CHECK(file->file.path == "/tmp/.x");
  CHECK(file->file.sha256 == digest);
  CHECK(scope->kind == CommandKind::kKillScope);
  CHECK(scope->scope == Scope{ScopeKind::kContainer, "0123456789ab"});
  CHECK(Open(*store, sensor.id).size() == 3);

  REQUIRE_OK(Deliver(*store, file->id));
  CommandResult result{CommandOutcome::kGone, "", "3 killed"};
  result.evidence = std::string("\x10\x03\x00", 3);
  REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.FinishCommand(sensor.id, file->id, result); }));
  CHECK(Get(*store, file->id).state == CommandState::kSucceeded);
  CHECK(Get(*store, file->id).result->evidence == result.evidence);
  // What belongs to another kind is not kept.
  REQUIRE_OK(Finish(*store, *tree, CommandOutcome::kDone));
  CHECK(Get(*store, tree->id).result->outcome == CommandOutcome::kUnknown);
  const auto single = Kill(*store, "web-1", 7);
  REQUIRE_OK(single);
  REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.FinishCommand(sensor.id, single->id, result); }));
  CHECK(Get(*store, single->id).result->evidence.empty());

  const auto audit = store->ListAudit("sensor/" + sensor.id, 10, "");
  REQUIRE_OK(audit);
  REQUIRE(audit->items.size() >= 4);
  CHECK(audit->items[1].action == "processes_kill_ordered");
  CHECK(absl::StrContains(audit->items[1].details_json, R"("scope":"container:0123456789ab")"));
  CHECK(absl::StrContains(audit->items[2].details_json, R"("path":"/tmp/.x","sha256":"00000000)"));
  CHECK(absl::StrContains(audit->items[3].details_json, R"("group":"tree","pid":42,"executable":"/bin/sh")"));
}

TEST_CASE("the kill of several is refused with the field, and nothing is stored") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto field = [&](const orders::KillGroup& group) { return FieldOf(KillAll(*store, group).status()); };
  ProcessIdentity init;
  init.pid = 1;
  CHECK(field(init) == "group.tree.pid");
  CHECK(field(RunningFile{}) == "group.file");
  CHECK(field(RunningFile{"x", ""}) == "group.file.path");
  CHECK(field(RunningFile{"", "short"}) == "group.file.sha256");
  CHECK(field(Scope{ScopeKind::kCgroup, "/"}) == "group.scope.cgroup");
  CHECK(field(Scope{ScopeKind::kSystemdUnit, "cron"}) == "group.scope.systemd_unit");
  CHECK(field(Scope{ScopeKind::kContainer, "web"}) == "group.scope.container");
  CHECK(database.Value("SELECT count(*) FROM commands") == "0");
}

TEST_CASE("a guard code is stored as its hash only, bound to the sensor") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const auto created = Give(*store, [&](Transaction& tx) {
    return orders::CreateGuardCode(tx, By("ada"), "web-1", absl::ZeroDuration(), absl::Now());
  });
  REQUIRE_OK(created);
  CHECK(created->command.kind == CommandKind::kSetGuardCode);
  CHECK(created->command.guard_code_hash == *GuardCodeHash(sensor.id, created->code));
  CHECK(Get(*store, created->command.id).guard_code_hash == created->command.guard_code_hash);
  REQUIRE_OK(Finish(*store, created->command, CommandOutcome::kDone));
  CHECK(Get(*store, created->command.id).state == CommandState::kSucceeded);
  const auto audit = store->ListAudit("sensor/" + sensor.id, 1, "");
  REQUIRE_OK(audit);
  CHECK(audit->items[0].action == "guard_code_created");
  CHECK_FALSE(absl::StrContains(audit->items[0].details_json, created->code));
}

TEST_CASE("a kill is bound to the boot and to the moment of the order") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  SensorReport report;
  report.boot_id = "123e4567-e89b-42d3-a456-426614174000";
  REQUIRE_OK(store->RecordReport(OpenStream(*store, sensor.id), report, false));
  const absl::Time now = absl::FromUnixMicros(absl::ToUnixMicros(absl::Now()));
  const auto command = Kill(*store, "web-1", 4242, absl::Minutes(1), now);
  REQUIRE_OK(command);
  CHECK(command->state == CommandState::kQueued);
  CHECK(command->process.boot_id == report.boot_id);
  CHECK(command->process.not_started_after == now);
  CHECK(command->not_after == now + absl::Minutes(1));
  CHECK(command->created_by == "olga");
  CHECK(ReasonOf(Kill(*store, "web-1", 1).status()) == "PID_ONE");
  CHECK(FieldOf(Kill(*store, "web-1", 2, absl::Hours(1000)).status()) == "ttl");
}

TEST_CASE("queued, delivered, succeeded; a repeated result changes nothing") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const Command command = *Kill(*store, "web-1", 4242);
  CHECK(Open(*store, sensor.id).size() == 1);
  REQUIRE_OK(Deliver(*store, command.id));
  REQUIRE_OK(Deliver(*store, command.id));
  CHECK(Get(*store, command.id).state == CommandState::kDelivered);
  CHECK(Open(*store, sensor.id).size() == 1);
  REQUIRE_OK(Finish(*store, command, CommandOutcome::kGone, "first"));
  REQUIRE_OK(Finish(*store, command, CommandOutcome::kRefused, "second"));
  REQUIRE_OK(Deliver(*store, command.id));
  const Command done = Get(*store, command.id);
  CHECK(done.state == CommandState::kSucceeded);
  CHECK(done.result->message == "first");
  CHECK(done.result->found == "found");
  CHECK(done.finished_at.has_value());
  CHECK(Open(*store, sensor.id).empty());
}

TEST_CASE("a result for another sensor's command, or for none, is refused") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Sensor other = Enroll(*store, "web-2");
  Command command = *Kill(*store, "web-1", 4242);
  command.sensor_id = other.id;
  CHECK_CODE(Finish(*store, command, CommandOutcome::kGone), kNotFound);
  CHECK(Get(*store, command.id).state == CommandState::kQueued);
}

TEST_CASE("a queued command expires at its deadline, a delivered one waits for its result") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  const absl::Time past = absl::Now() - absl::Hours(1);
  const Command queued = *Kill(*store, "web-1", 100, absl::Minutes(1), past);
  CHECK(queued.state == CommandState::kExpired);
  const Command delivered = *Kill(*store, "web-1", 200);
  REQUIRE_OK(Deliver(*store, delivered.id));
  // A deadline cannot be changed through the store; the clock cannot be turned. So the guard is put aside for a moment.
  const auto deadline_was = [&](const std::string& ago) {
    database.Execute(
        absl::StrCat("ALTER TABLE commands DISABLE TRIGGER USER; UPDATE commands SET created_at = now() - interval '",
                     ago, "' - interval '1 minute', not_after = now() - interval '", ago, "' WHERE id = '",
                     delivered.id, "'; ALTER TABLE commands ENABLE TRIGGER USER"));
  };
  deadline_was("1 hour");
  CHECK(Open(*store, sensor.id).size() == 1);
  CHECK(Get(*store, delivered.id).state == CommandState::kDelivered);
  deadline_was("25 hours");
  REQUIRE_OK(store->Sweep());
  CHECK(Get(*store, delivered.id).state == CommandState::kExpired);
  REQUIRE_OK(Finish(*store, delivered, CommandOutcome::kGone));
  CHECK(Get(*store, delivered.id).state == CommandState::kExpired);
}

TEST_CASE("the database itself keeps a command from going back") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Command command = *Kill(*store, "web-1", 4242);
  REQUIRE_OK(Deliver(*store, command.id));
  CHECK(database.Refusal("UPDATE commands SET state = 'queued'") == "23514 commands_move_forward");
  CHECK(database.Refusal("UPDATE commands SET pid = 4243") == "23514 commands_move_forward");
  REQUIRE_OK(Finish(*store, command, CommandOutcome::kAlreadyGone));
  CHECK(database.Refusal("UPDATE commands SET message = 'other'") == "23514 commands_move_forward");
  CHECK(database.Refusal("UPDATE commands SET state = 'delivered', finished_at = NULL, outcome = NULL, found = NULL, "
                         "message = NULL") == "23514 commands_move_forward");
}

TEST_CASE("text from a host with NUL bytes is stored without them") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const Command command = *Kill(*store, "web-1", 4242);
  REQUIRE_OK(Finish(*store, command, CommandOutcome::kGone, std::string("a\0b", 3)));
  CHECK(Get(*store, command.id).result->message == "ab");
}

}  // namespace
}  // namespace bulkhead::controlplane
