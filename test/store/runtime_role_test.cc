// The shape of a real deployment: one role owns the tables and migrates, another runs the control plane and cannot
// change what is written for ever.
#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controlplane/store/migrations.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

constexpr char kRole[] = "bulkhead_runtime";

struct Fixture {
  explicit Fixture(Database::Schema schema = Database::Schema::kCurrent) : database(schema) {
    // Roles belong to the server, not to the database of one test.
    database.ExecuteAsSuperuser(absl::StrCat("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '", kRole,
                                             "') THEN CREATE ROLE ", kRole, " LOGIN; END IF; END $$"));
  }
  std::string runtime() const { return database.StringAs(kRole); }
  absl::StatusOr<std::unique_ptr<Store>> OpenAsRuntime() const {
    return Store::Open({.connection_string = runtime(), .pool_size = 4});
  }
  // SQLSTATE or error with which the runtime role is refused; empty: it is not. (libpqxx 6 gives this class no state.)
  std::string Refusal(const std::string& sql) const {
    pqxx::connection connection(runtime());
    pqxx::quiet_errorhandler quiet(connection);
    pqxx::work work(connection);
    try {
      work.exec(sql);
      return "";
    } catch (const pqxx::insufficient_privilege&) {
      return "42501";
    } catch (const pqxx::sql_error& error) {
      return error.what();
    }
  }

  Database database;
};

TEST_CASE_METHOD(Fixture, "the runtime role does all that the control plane does") {
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  const auto opened = OpenAsRuntime();
  REQUIRE_OK(opened);
  Store& store = **opened;
  const Sensor sensor = Enroll(store, "web-1");
  const Ownership owner = OpenStream(store, sensor.id);
  REQUIRE_OK(store.RecordReport(owner, SensorReport(), true));
  REQUIRE_OK(store.RecordHeartbeats({{owner, 1, "x"}}));
  EventBatch batch{.run_id = NewUuid(), .events = {SensorEvent{.sequence = 1}}};
  REQUIRE_OK(store.StoreEvents(owner, batch, 10));
  REQUIRE_OK(Contain(store, "web-1", By("olga", "request-1")));
  REQUIRE_OK(Kill(store, "web-1", 4242));
  CHECK(store.ListEvents({}, 10, "")->items.size() == 1);
  CHECK(store.VerifyAudit()->first_bad == 0);
  REQUIRE_OK(store.Sweep());
  REQUIRE_OK(store.KeepPartitions({}, absl::Now()));
  REQUIRE_OK(store.Run([](Transaction& tx) { return orders::DeleteSensor(tx, By("ada"), "web-1"); }));
}

PublicRoot Root(char digit) {
  return {.fingerprint_hex = std::string(64, digit), .certificate_pem = "-", .cross_pem = "-"};
}

TEST_CASE_METHOD(Fixture, "the runtime role keeps identities: certificates, roots, roles, suspicions") {
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  const auto opened = OpenAsRuntime();
  REQUIRE_OK(opened);
  Store& store = **opened;
  const Sensor sensor = Enroll(store, "web-1");
  SensorCertificate certificate;
  certificate.serial_hex = "0a0b";
  certificate.sensor_id = sensor.id;
  certificate.fingerprint_hex = std::string(64, 'a');
  certificate.not_after = absl::Now() + absl::Hours(1);
  REQUIRE_OK(store.Run([&](Transaction& tx) { return tx.InsertCertificate(certificate); }));
  REQUIRE_OK(store.ActivateCertificate("0a0b"));
  REQUIRE_OK(store.ConfirmCertificate(sensor.id, "0a0b"));
  REQUIRE_OK(store.CountSupersededUse("0a0b"));
  REQUIRE_OK(store.GetCloneSigns(1, 1));
  REQUIRE_OK(store.Run([&](Transaction& tx) { return tx.SetCloneSuspicion(sensor.id, "two hosts").status(); }));
  REQUIRE_OK(store.Run([&](Transaction& tx) { return orders::ClearCloneSuspicion(tx, By("ada"), "web-1").status(); }));
  REQUIRE_OK(store.Run([](Transaction& tx) { return orders::BeginRotation(tx, By("root"), Root('1'), Root('2')); }));
  REQUIRE_OK(store.Run([](Transaction& tx) { return orders::FinishRotation(tx, By("root"), /*force=*/true); }));
  const std::string run = NewUuid();
  REQUIRE_OK(store.RenewReplica(run, "replica", absl::Hours(1)));
  CHECK(store.ReportAuthority(run, std::string(32, 'x'), std::string(64, '2')).value());
  const Role role{.name = "ci", .permissions = {"sensors:read"}, .created_by = "ada"};
  REQUIRE_OK(store.Run([&](Transaction& tx) { return tx.InsertRole(role); }));
  REQUIRE_OK(store.InsertOperator({.name = "ci", .role = "ci"}, std::string(64, 'b')));
  REQUIRE_OK(store.Run([](Transaction& tx) { return tx.UpdateOperator({.name = "ci", .role = "viewer"}); }));
  REQUIRE_OK(store.Run([](Transaction& tx) { return tx.DeleteRole("ci"); }));
  CHECK(store.VerifyAudit()->first_bad == 0);
}

TEST_CASE_METHOD(Fixture, "the runtime role makes and drops partitions that it does not own") {
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  database.Execute("DO $$ BEGIN EXECUTE 'DROP TABLE events' || to_char(now() AT TIME ZONE 'UTC', '_YYYYMMDD'); END $$");
  database.Execute(
      "SET TimeZone = 'UTC'; CREATE TABLE events_20200101 PARTITION OF events"
      " FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')");
  const auto store = OpenAsRuntime();
  REQUIRE_OK(store);
  CHECK((*store)->KeepPartitions({}, absl::Now()).value() == 1);
  CHECK(database.Value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass") == "5");
  CHECK(
      database.Value("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'events' || to_char(now() AT TIME "
                     "ZONE 'UTC', '_YYYYMMDD')") == "bulkhead");
}

TEST_CASE_METHOD(Fixture, "the runtime role cannot change, remove or unguard what is written for ever") {
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  const auto store = OpenAsRuntime();
  REQUIRE_OK(store);
  Enroll(**store, "web-1");
  for (const char* const sql :
       {"UPDATE audit_log SET actor = 'mallory'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only",
        "DROP TRIGGER audit_log_append_only ON audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log RENAME TO a",
        "SET session_replication_role = replica",
        "DROP FUNCTION audit_log_append_only() CASCADE",
        "CREATE OR REPLACE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; "
        "END'",
        "DELETE FROM audit_heads",
        "TRUNCATE audit_heads",
        "INSERT INTO audit_heads VALUES (false, 0, '')",
        "GRANT UPDATE ON audit_log TO bulkhead_runtime; UPDATE audit_log SET actor = 'mallory'",
        "SET ROLE bulkhead",
        "ALTER TABLE audit_log OWNER TO bulkhead_runtime",
        "CREATE RULE r AS ON INSERT TO audit_log DO INSTEAD NOTHING",
        "CREATE TRIGGER t BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_append_only()",
        "UPDATE events SET detail = ''",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "DELETE FROM events_default",
        "INSERT INTO events_default SELECT * FROM events",
        "UPDATE heartbeats SET critical_count = 0",
        "UPDATE enrollment_token_uses SET sensor_name = 'web-2'",
        "DELETE FROM enrollment_token_uses",
        "DELETE FROM ca_roots",
        "TRUNCATE ca_roots",
        "DELETE FROM schema_migrations",
        "UPDATE schema_migrations SET name = ''",
        "CREATE TABLE mine (id integer)"}) {
    INFO(sql);
    CHECK(Refusal(sql) == "42501");
  }
  CHECK((*store)->VerifyAudit()->first_bad == 0);
  // A table of the same name in front of the real one does not mislead the functions that run as the owner.
  CHECK(Refusal("CREATE TEMP TABLE events_default (received_at timestamptz); CREATE TEMP TABLE events (id integer);"
                "SELECT create_record_partitions(3), drop_old_records('events', now() - interval '1 day')")
            .empty());
}

TEST_CASE_METHOD(Fixture, "without the grants the runtime role reads nothing") {
  CHECK(Refusal("SELECT FROM sensors") == "42501");
  CHECK(Refusal("SELECT create_record_partitions(3)") == "42501");
}

TEST_CASE("a runtime role does not migrate, and says who must") {
  const Fixture fixture(Database::Schema::kNone);
  CHECK_CODE(fixture.OpenAsRuntime(), kFailedPrecondition);
  std::vector<Migration> migrations = EmbeddedMigrations();
  const Migration last = migrations.back();
  migrations.pop_back();
  REQUIRE_OK(Migrate(fixture.database.connection_string(), migrations));
  fixture.database.Execute(absl::StrCat("GRANT SELECT ON schema_migrations TO ", kRole));
  const absl::Status refused = fixture.OpenAsRuntime().status();
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), last.name));
  CHECK(absl::StrContains(refused.message(), "migrate --runtime-role"));
  fixture.database.Open();
  REQUIRE_OK(GrantRuntimeRole(fixture.database.connection_string(), kRole));
  REQUIRE_OK(fixture.OpenAsRuntime());
}

TEST_CASE_METHOD(Fixture, "privileges are given again after a migration, and never to a role that they do not bind") {
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  // A slip of somebody, and a table of a later version.
  database.Execute(absl::StrCat("GRANT UPDATE, DELETE ON audit_log TO ", kRole, "; CREATE TABLE later (id integer)"));
  REQUIRE_OK(GrantRuntimeRole(database.connection_string(), kRole));
  CHECK(Refusal("DELETE FROM audit_log") == "42501");
  CHECK(Refusal("INSERT INTO later VALUES (1)").empty());
  CHECK_CODE(GrantRuntimeRole(database.connection_string(), "nobody_of_that_name"), kNotFound);
  CHECK_CODE(GrantRuntimeRole(database.connection_string(), "bulkhead"), kFailedPrecondition);
  CHECK_CODE(GrantRuntimeRole(database.connection_string(), "postgres"), kFailedPrecondition);
  CHECK_CODE(GrantRuntimeRole(database.connection_string(), "x\"; DROP TABLE sensors; --"), kNotFound);
}

}  // namespace
}  // namespace bulkhead::controlplane
