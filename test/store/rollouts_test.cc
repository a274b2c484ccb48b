// Rollouts on a real database: orders given once, limits kept, halted on harm, whoever drives and whoever dies.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests
using Catch::Matchers::Contains;

absl::StatusOr<uint64_t> ContainOne(Transaction& tx, const OrderContext& context, const Rollout&,
                                    const std::string& sensor_id) {
  ASSIGN_OR_RETURN(const orders::PolicyOrdered ordered, orders::ContainSensor(tx, context, sensor_id, {}));
  return ordered.sensor.desired_generation;
}

// `count` sensors, web-00, web-01, …, all labelled env=prod.
struct Fixture {
  Database database;
  std::unique_ptr<Store> store = database.Open();
  std::string id;  // of the rollout that Create made last

  void EnrollMany(int count) {
    for (int i = 0; i < count; ++i) Enroll(*store, Name(i), {{"env", "prod"}});
  }
  static std::string Name(int i) { return absl::StrFormat("web-%02d", i); }

  absl::StatusOr<Rollout> Create(const RolloutLimits& limits, bool validate_only = false,
                                 const std::string& selector = "env=prod", bool all = false,
                                 const orders::RolloutOrderer& give = ContainOne) {
    Rollout wanted;
    wanted.kind = "contain";
    wanted.limits = limits;
    wanted.label_selector = selector;
    OrderContext context = By("olga");
    context.reason = "INC-42";
    auto made = Give(
        *store, [&](Transaction& tx) { return orders::CreateRollout(tx, context, wanted, all, validate_only, give); });
    if (made.ok()) id = made->id;
    return made;
  }
  absl::StatusOr<Rollout> Resume(const std::string& actor = "petra") {
    return Give(*store, [&](Transaction& tx) { return orders::ResumeRollout(tx, By(actor), id); });
  }
  absl::StatusOr<Rollout> Cancel() {
    return Give(*store, [&](Transaction& tx) { return orders::CancelRollout(tx, By("petra"), id); });
  }
  orders::RolloutPass Drive(const orders::RolloutOrderer& give = ContainOne) {
    const auto pass = orders::DriveRollouts(*store, give);
    REQUIRE_OK(pass);
    return *pass;
  }
  // The sensor's kernel has what was ordered, and says so.
  void Enforce(const std::string& name, SensorReport report = {}) const {
    const Sensor sensor = Read(*store, name);
    report.observed_generation = sensor.desired_generation;
    report.observed_digest = sensor.desired_digest;
    REQUIRE_OK(store->RecordReport(OpenStream(*store, sensor.id), report, true));
  }
  void EnforceOrdered() const {
    for (const auto& row : database.Execute("SELECT sensor_name FROM rollout_targets WHERE state = 'ordered'")) {
      Enforce(row[0].c_str());
    }
  }
  // As if so much time had passed since every order.
  void LetPass(const std::string& interval) const {
    database.Execute(
        "ALTER TABLE rollout_targets DISABLE TRIGGER USER;"
        "UPDATE rollout_targets SET ordered_at = ordered_at - interval '" +
        interval +
        "';"
        "ALTER TABLE rollout_targets ENABLE TRIGGER USER");
  }
  Rollout Now() const {
    const auto rollout = Give(*store, [&](Transaction& tx) { return tx.GetRollout(id, false); });
    REQUIRE_OK(rollout);
    return *rollout;
  }
  // "running 7/3/0/0": pending, ordered, enforced, failed.
  std::string Standing() const {
    const Rollout now = Now();
    return absl::StrCat(database.Value("SELECT state FROM rollouts WHERE id = '" + id + "'"), " ", now.counts.pending,
                        "/", now.counts.ordered, "/", now.counts.enforced, "/", now.counts.failed);
  }
  std::string MessageOf(const std::string& name) const {
    return database.Value("SELECT message FROM rollout_targets WHERE sensor_name = '" + name + "'");
  }
  std::string Count(const std::string& action) const {
    return database.Value("SELECT count(*) FROM audit_log WHERE action = '" + action + "'");
  }
};

TEST_CASE_METHOD(Fixture, "a rollout gives as many orders as may be in flight, then more as they are enforced") {
  EnrollMany(5);
  const auto made = Create({.max_in_flight = 2});
  REQUIRE_OK(made);
  CHECK(made->counts.pending == 5);
  CHECK(Standing() == "running 5/0/0/0");
  CHECK(Drive().changed);
  CHECK(Standing() == "running 3/2/0/0");
  const orders::RolloutPass waits = Drive();
  CHECK(waits.open);
  CHECK_FALSE(waits.changed);
  CHECK(Standing() == "running 3/2/0/0");
  Enforce("web-00");
  Drive();
  CHECK(Standing() == "running 2/2/1/0");
  for (int i = 0; i < 4; ++i) {
    EnforceOrdered();
    Drive();
  }
  CHECK(Standing() == "done 0/0/5/0");
  CHECK(Now().ended_at.has_value());
  CHECK_FALSE(Drive().open);
  // Each order is the operator's, with its own record that leads back to the rollout.
  CHECK(Count("sensor_contained") == "5");
  CHECK(
      database.Value(absl::StrCat("SELECT count(*) FROM audit_log WHERE action = 'sensor_contained' AND actor = 'olga'"
                                  " AND request_id = 'rollout-",
                                  id, "' AND details LIKE '%INC-42%'")) == "5");
  CHECK(database.Value("SELECT actor || ' ' || details FROM audit_log WHERE action = 'rollout_done'") ==
        R"((system) {"enforced":5,"failed":0,"not_ordered":0})");
  REQUIRE_OK(store->VerifyAudit());
}

TEST_CASE_METHOD(Fixture, "no more orders an hour than allowed, whatever is enforced") {
  EnrollMany(5);
  REQUIRE_OK(Create({.max_in_flight = 2, .max_per_hour = 3}));
  for (int i = 0; i < 4; ++i) {
    Drive();
    EnforceOrdered();
  }
  CHECK(Standing() == "running 2/0/3/0");
  LetPass("59 minutes");
  Drive();
  CHECK(Standing() == "running 2/0/3/0");
  LetPass("1 minute");
  Drive();
  CHECK(Standing() == "running 0/2/3/0");
}

TEST_CASE_METHOD(Fixture, "refused, late and worse sensors fail with the reason, halt, and resume finishes the rest") {
  EnrollMany(6);
  for (int i = 0; i < 6; ++i) Enforce(Fixture::Name(i));
  REQUIRE_OK(Create({.max_in_flight = 6, .max_failures = 3}));
  // Refused by the control plane: it is critical before its turn comes.
  SensorReport critical;
  critical.critical = {"the kernel could not be read back"};
  REQUIRE_OK(store->RecordReport(OpenStream(*store, Read(*store, "web-00").id), critical, true));
  Drive();
  CHECK(Standing() == "running 0/5/0/1");
  CHECK_THAT(MessageOf("web-00"), Contains("refused: ") && Contains("critical"));
  CHECK(Read(*store, "web-00").policies.empty());
  // Refused by the sensor.
  const Sensor refuses = Read(*store, "web-01");
  REQUIRE_OK(store->RecordPolicyStatus(OpenStream(*store, refuses.id), refuses.desired_generation, false, "no hook"));
  // Enforced, and worse for it.
  Enforce("web-02");
  Drive();
  CHECK(Standing() == "running 0/3/1/2");
  CHECK(MessageOf("web-01") == "the sensor could not apply it: no hook");
  SensorReport degraded;
  degraded.degraded = {"packet sockets get past the wall"};
  Enforce("web-02", degraded);
  Drive();
  CHECK(Standing() == "halted 0/3/0/3");
  CHECK(MessageOf("web-02") == "degraded since the order: packet sockets get past the wall");
  CHECK_THAT(Now().halted_because, Contains("3 sensors failed") && Contains("web-02"));
  CHECK(Count("rollout_halted") == "1");
  // What was ordered still gets its outcome, and the rollout stays halted.
  Enforce("web-03");
  Drive();
  CHECK(Standing() == "halted 0/2/1/3");
  REQUIRE_OK(Resume());
  CHECK_CODE(Resume(), kFailedPrecondition);
  Enforce("web-04");
  LetPass("61 seconds");
  Drive();
  // Three were forgiven; one more is below the limit.
  CHECK(Standing() == "done 0/0/2/4");
  CHECK_THAT(MessageOf("web-05"), Contains("not in force within 1m"));
  CHECK(ReasonOf(Resume().status()) == "ROLLOUT_ENDED");
}

TEST_CASE_METHOD(
    Fixture,
    "a sensor that turns critical under its order fails, enforced or not; what allow_degraded accepts does not") {
  EnrollMany(3);
  for (int i = 0; i < 3; ++i) Enforce(Fixture::Name(i));
  REQUIRE_OK(Create({.max_in_flight = 3, .max_failures = 9}));
  database.Execute("UPDATE rollouts SET allow_degraded = true");
  Drive();
  Enforce("web-00");
  Drive();
  SensorReport critical;
  critical.critical = {"the hooks are silent"};
  SensorReport degraded;
  degraded.degraded = {"no LSM"};
  Enforce("web-00", critical);
  REQUIRE_OK(store->RecordReport(OpenStream(*store, Read(*store, "web-01").id), critical, true));
  Enforce("web-02", degraded);
  Drive();
  CHECK(Standing() == "done 0/0/1/2");
  CHECK(MessageOf("web-00") == "critical since the order: the hooks are silent");
  CHECK(MessageOf("web-01") == "critical since the order: the hooks are silent");
}

TEST_CASE_METHOD(Fixture, "a halted rollout gives no orders until it is resumed, in the name of who resumed it") {
  EnrollMany(4);
  REQUIRE_OK(Create({.max_in_flight = 1}));
  Drive();
  LetPass("2 minutes");
  Drive();
  CHECK(Standing() == "halted 3/0/0/1");
  CHECK_FALSE(Drive().open);
  REQUIRE_OK(Resume("petra"));
  Drive();
  CHECK(Standing() == "running 2/1/0/1");
  CHECK(database.Value(
            "SELECT actor FROM audit_log WHERE action = 'sensor_contained' ORDER BY sequence DESC LIMIT 1") == "petra");
}

TEST_CASE_METHOD(Fixture, "a cancelled rollout gives no orders; those given keep their outcome") {
  EnrollMany(4);
  REQUIRE_OK(Create({.max_in_flight = 2}));
  Drive();
  REQUIRE_OK(Cancel());
  CHECK(Standing() == "cancelled 2/2/0/0");
  Enforce("web-00");
  LetPass("2 minutes");
  Drive();
  CHECK(Standing() == "cancelled 2/0/1/1");
  CHECK_FALSE(Drive().open);
  CHECK(ReasonOf(Cancel().status()) == "ROLLOUT_ENDED");
  CHECK(ReasonOf(Resume().status()) == "ROLLOUT_ENDED");
  CHECK(Count("sensor_contained") == "2");
}

TEST_CASE_METHOD(Fixture, "a sensor that is deleted keeps its line") {
  EnrollMany(3);
  REQUIRE_OK(Create({.max_in_flight = 2, .max_failures = 9}));
  Drive();
  for (const char* name : {"web-01", "web-02"}) {
    REQUIRE_OK(store->Run([&](Transaction& tx) { return orders::DeleteSensor(tx, By("admin"), name); }));
  }
  Enforce("web-00");
  Drive();
  Drive();
  CHECK(Standing() == "done 0/0/1/2");
  CHECK_THAT(MessageOf("web-01"), Contains("deleted"));
  CHECK_THAT(MessageOf("web-02"), Contains("there is no sensor"));
}

TEST_CASE_METHOD(Fixture, "an operator who was disabled orders nothing more until another resumes") {
  EnrollMany(2);
  database.Execute("INSERT INTO operators (name, role) VALUES ('olga', 'operator'), ('petra', 'operator')");
  REQUIRE_OK(Create({.max_in_flight = 1}));
  Drive();
  database.Execute("UPDATE operators SET disabled = true WHERE name = 'olga'");
  Enforce("web-00");
  Drive();
  CHECK(Standing() == "halted 1/0/1/0");
  CHECK_THAT(Now().halted_because, Contains("olga"));
  REQUIRE_OK(Resume("petra"));
  Drive();
  CHECK(Standing() == "running 0/1/1/0");
}

TEST_CASE_METHOD(Fixture, "what is created, and what is only checked") {
  CHECK(ReasonOf(Create({}).status()) == "NO_SENSOR_MATCHES");
  EnrollMany(3);
  const uint64_t generation = Read(*store, "web-00").desired_generation;
  const auto checked = Create({}, /*validate_only=*/true);
  REQUIRE_OK(checked);
  CHECK(checked->id.empty());
  CHECK(checked->counts.pending == 3);
  CHECK(checked->limits.max_in_flight == 50);
  CHECK(FieldOf(Create({}, false, "").status()) == "label_selector");
  CHECK(FieldOf(Create({}, false, "env=prod", true).status()) == "all_sensors");
  CHECK(FieldOf(Create({.max_in_flight = 20'000}).status()) == "limits.max_in_flight");
  const auto wrong = [](Transaction& tx, const OrderContext& context, const Rollout& rollout,
                        const std::string& sensor_id) -> absl::StatusOr<uint64_t> {
    RETURN_IF_ERROR(ContainOne(tx, context, rollout, sensor_id).status());
    return InvalidField("lease", "is wrong for everyone");
  };
  CHECK(FieldOf(Create({}, false, "env=prod", false, wrong).status()) == "lease");
  CHECK(database.Value("SELECT count(*) FROM rollouts") == "0");
  // The trial left nothing: no order, no record.
  CHECK(Read(*store, "web-00").desired_generation == generation);
  CHECK(Count("sensor_contained") == "0");
  CHECK(Count("rollout_created") == "0");
  REQUIRE_OK(Create({}, false, "", true));
  CHECK(Read(*store, "web-00").desired_generation == generation);
  CHECK(Count("rollout_created") == "1");
}

// Fails an update that leaves more sensors ordered at once, or more orders in the hour, than the rollout allows.
constexpr char kWatchman[] = R"(
CREATE FUNCTION watchman() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FILTER (WHERE t.state = 'ordered') > r.max_in_flight OR count(t.ordered_at) > r.max_per_hour
      FROM rollout_targets t JOIN rollouts r ON r.id = t.rollout_id WHERE r.id = NEW.rollout_id GROUP BY r.id) THEN
    RAISE EXCEPTION 'a limit was exceeded';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watchman AFTER UPDATE ON rollout_targets DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION watchman())";

TEST_CASE_METHOD(Fixture, "four drivers at once order each sensor once and exceed no limit") {
  constexpr int kSensors = 40;
  EnrollMany(kSensors);
  database.Execute(kWatchman);
  REQUIRE_OK(Create({.max_in_flight = 3, .max_per_hour = kSensors - 4, .max_failures = 1}));
  std::atomic<bool> stop = false;
  std::atomic<int> failed_passes = 0;
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < 4; ++i) stores.push_back(database.Open(2));
  std::vector<std::thread> drivers;
  for (const auto& replica : stores) {
    drivers.emplace_back([&, raw = replica.get()] {
      while (!stop) {
        const auto pass = orders::DriveRollouts(*raw, ContainOne);
        failed_passes += pass.ok() ? pass->failed : 1;
      }
    });
  }
  const absl::Time limit = absl::Now() + absl::Seconds(60);
  while (Now().counts.enforced < kSensors - 4 && absl::Now() < limit) EnforceOrdered();
  absl::SleepFor(absl::Milliseconds(200));
  stop = true;
  for (std::thread& driver : drivers) driver.join();
  CHECK(Standing() == absl::StrCat("running 4/0/", kSensors - 4, "/0"));
  CHECK(failed_passes == 0);
  CHECK(Count("sensor_contained") == absl::StrCat(kSensors - 4));
  CHECK(database.Value("SELECT max(desired_generation) FROM sensors") == "2");
}

TEST_CASE_METHOD(Fixture, "a driver that dies in the middle of an order leaves nothing of it, and it is given once") {
  EnrollMany(3);
  REQUIRE_OK(Create({.max_in_flight = 3}));
  std::atomic<int> deaths = 0;
  const auto dies = [&](Transaction& tx, const OrderContext& context, const Rollout& rollout,
                        const std::string& sensor_id) -> absl::StatusOr<uint64_t> {
    ASSIGN_OR_RETURN(const uint64_t generation, ContainOne(tx, context, rollout, sensor_id));
    // The order is given, the target's state is not: the moment at which kill -9 would hurt.
    if (++deaths <= 2) {
      database.ExecuteAsSuperuser(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
          " AND state = 'idle in transaction'");
    }
    return generation;
  };
  for (int i = 0; i < 5 && Now().counts.pending > 0; ++i) orders::DriveRollouts(*store, dies).status().IgnoreError();
  CHECK(deaths > 3);
  CHECK(Standing() == "running 0/3/0/0");
  CHECK(Count("sensor_contained") == "3");
  CHECK(database.Value("SELECT count(*) FROM sensors WHERE desired_generation = 2") == "3");
}

TEST_CASE_METHOD(Fixture, "an order that the database refuses fails its sensor and no other") {
  EnrollMany(3);
  REQUIRE_OK(Create({.max_in_flight = 3, .max_failures = 2}));
  const std::string broken = Read(*store, "web-01").id;
  Drive([&](Transaction& tx, const OrderContext& context, const Rollout& rollout,
            const std::string& sensor_id) -> absl::StatusOr<uint64_t> {
    if (sensor_id != broken) return ContainOne(tx, context, rollout, sensor_id);
    Policy policy;
    policy.id = "00000000-0000-4000-8000-000000000000";
    policy.sensor_id = sensor_id;
    policy.name = "no-such-name";
    RETURN_IF_ERROR(tx.InsertPolicy(policy));
    return 0;
  });
  CHECK(Standing() == "running 0/2/0/1");
  CHECK_THAT(MessageOf("web-01"), Contains("store a policy"));
}

TEST_CASE_METHOD(Fixture, "an attempt that fails is undone alone, locks and all") {
  EnrollMany(1);
  const std::string sensor = Read(*store, "web-00").id;
  absl::Status first, second;
  REQUIRE_OK(store->Run([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.SetDisabled(sensor, true));
    first = tx.Attempt([&]() -> absl::Status {
      RETURN_IF_ERROR(ContainOne(tx, By("olga"), {}, sensor).status());
      return absl::NotFoundError("changed its mind");
    });
    second = tx.Attempt([&] { return ContainOne(tx, By("olga"), {}, sensor).status(); });
    return absl::OkStatus();
  }));
  CHECK_CODE(first, kNotFound);
  REQUIRE_OK(second);
  const Sensor after = Read(*store, "web-00");
  CHECK(after.disabled);
  CHECK(after.policies.size() == 1);
  CHECK(Count("sensor_contained") == "1");
}

TEST_CASE_METHOD(Fixture, "lists come in pages, newest rollout first, sensors by name and state") {
  EnrollMany(5);
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    REQUIRE_OK(Create({.max_in_flight = 2}));
    ids.insert(ids.begin(), id);
  }
  std::vector<std::string> listed;
  std::string token;
  do {
    const auto page = Give(*store, [&](Transaction& tx) { return tx.ListRollouts(2, token); });
    REQUIRE_OK(page);
    for (const Rollout& rollout : page->items) listed.push_back(rollout.id);
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(listed == ids);
  Drive();
  const auto ordered =
      Give(*store, [&](Transaction& tx) { return tx.ListRolloutTargets(id, RolloutTargetState::kOrdered, 100, ""); });
  REQUIRE_OK(ordered);
  CHECK(ordered->items.size() == 2);
  const auto first = Give(*store, [&](Transaction& tx) { return tx.ListRolloutTargets(id, std::nullopt, 4, ""); });
  REQUIRE_OK(first);
  const auto second =
      Give(*store, [&](Transaction& tx) { return tx.ListRolloutTargets(id, std::nullopt, 4, first->next_page_token); });
  REQUIRE_OK(second);
  CHECK(first->items.back().sensor_name == "web-03");
  CHECK(second->items.back().sensor_name == "web-04");
  CHECK_CODE(Give(*store, [&](Transaction& tx) { return tx.GetRollout("no-id", false); }), kNotFound);
}

TEST_CASE_METHOD(Fixture, "the schema itself lets no sensor of a rollout go back") {
  EnrollMany(1);
  REQUIRE_OK(Create({}));
  const auto set = [&](const std::string& what) { return database.Refusal("UPDATE rollout_targets SET " + what); };
  CHECK(set("state = 'ordered'") == "23514 rollout_targets_ordered_check");
  CHECK(set("state = 'failed'") == "23514 rollout_targets_message_check");
  Drive();
  CHECK(set("state = 'pending', generation = 0, ordered_at = NULL") == "23514 rollout_targets_move_forward");
  CHECK(set("ordered_at = now()") == "23514 rollout_targets_move_forward");
  Enforce("web-00");
  Drive();
  CHECK(set("state = 'ordered'") == "23514 rollout_targets_move_forward");
  CHECK(database.Refusal("UPDATE rollouts SET halted_because = 'x'") == "23514 rollouts_halted_check");
  CHECK(database.Refusal("UPDATE rollouts SET ended_at = NULL") == "23514 rollouts_ended_check");
  CHECK(database.Refusal("UPDATE sensors SET labels = '[]'") == "23514 sensors_labels_check");
}

}  // namespace
}  // namespace bulkhead::controlplane
