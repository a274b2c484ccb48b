// Migrations: from nothing, upward from every older version with data in it, and the refusals.
#include "controlplane/store/migrations.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file_util.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

// For each version: rows that only need its schema, and a question whose answer must be "t" at every later version.
struct Step {
  const char* insert;
  const char* check;
};

const std::vector<Step>& Steps() {
  static const std::vector<Step> steps = {
      {"INSERT INTO sensors (id, name, desired_digest, enrolled_at) VALUES ('00000000-0000-4000-8000-000000000001', "
       "'old-1',"
       " decode(repeat('ab', 32), 'hex'), now());"
       "INSERT INTO sensor_reports (sensor_id, degraded) VALUES ('00000000-0000-4000-8000-000000000001', '{weak}');"
       "INSERT INTO operators (name, role) VALUES ('olga', 'operator')",
       "SELECT count(*) = 1 FROM sensors s JOIN sensor_reports r ON r.sensor_id = s.id, operators o"
       " WHERE s.name = 'old-1' AND r.degraded = '{weak}' AND o.role = 'operator'"},
      {"INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag) VALUES"
       " ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'network-containment',"
       " 'network-containment', 'deny', 'olga', 'e');"
       "INSERT INTO rules (id, remote, direction, created_at, created_by) VALUES"
       " ('00000000-0000-4000-8000-000000000003', '10.0.0.0/8', 'any', now(), 'olga')",
       "SELECT count(*) = 1 FROM enforcement_policies p, rules r WHERE p.name = 'network-containment'"
       " AND p.action = 'deny' AND r.remote = '10.0.0.0/8'"},
      {"INSERT INTO heartbeats (sensor_id, observed_generation, observed_digest, degraded_count, critical_count) VALUES"
       " ('00000000-0000-4000-8000-000000000001', 1, '', 0, 0)",
       // Migration 13 leaves what there is under another name.
       "SELECT (SELECT count(*) FROM heartbeats WHERE observed_generation = 1)"
       " + (SELECT count(*) FROM heartbeats_unpartitioned WHERE observed_generation = 1) = 1"},
      {"INSERT INTO replicas (id, name, lease_until) VALUES ('00000000-0000-4000-8000-000000000004', 'cp-1', now());"
       "UPDATE sensor_reports SET session_epoch = 3, session_holder = '00000000-0000-4000-8000-000000000004'",
       "SELECT count(*) = 1 FROM sensor_reports r JOIN replicas p ON p.id = r.session_holder WHERE r.session_epoch = "
       "3"},
      {"INSERT INTO commands (id, sensor_id, kind, guard_down_seconds, created_at, created_by, not_after) VALUES"
       " ('00000000-0000-4000-8000-000000000005', '00000000-0000-4000-8000-000000000001', 'lower_guard', 60, now(),"
       " 'olga', now() + interval '1 minute')",
       "SELECT count(*) = 1 FROM commands WHERE kind = 'lower_guard'"},
      {"UPDATE enforcement_policies SET expires_at = now() + interval '1 hour', on_expiry = 'hold',"
       " on_unreachable = 'hold'",
       "SELECT bool_and(on_expiry = 'hold' AND on_unreachable = 'hold' AND expires_at IS NOT NULL)"
       " FROM enforcement_policies WHERE created_by = 'olga' AND name = 'network-containment'"},
      {"INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag, binary_sha256,"
       " kill_running) VALUES ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000001',"
       " 'bulkhead-block-binary-abab', 'block-binary', 'sigkill', 'olga', 'e', decode(repeat('ab', 32), 'hex'), true)",
       "SELECT bool_or(kill_running AND octet_length(binary_sha256) = 32) FROM enforcement_policies"
       " WHERE template = 'block-binary'"},
      {"INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag, scope_kind,"
       " scope_name) VALUES ('00000000-0000-4000-8000-000000000006', '00000000-0000-4000-8000-000000000001',"
       " 'network-containment-nginx.service', 'network-containment', 'deny', 'olga', 'e', 'unit', 'nginx.service')",
       "SELECT count(*) = 1 FROM enforcement_policies WHERE scope_kind = 'unit' AND scope_name = 'nginx.service'"
       " AND template = 'network-containment'"},
      {"INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag, scope_kind,"
       " scope_name, allow_binaries) VALUES ('00000000-0000-4000-8000-000000000007',"
       " '00000000-0000-4000-8000-000000000001', 'bulkhead-allow-list-nginx.service', 'allow-list', 'deny', 'olga',"
       " 'e', 'unit', 'nginx.service', ARRAY[' /usr/sbin/nginx'])",
       "SELECT allow_binaries = ARRAY[' /usr/sbin/nginx'] FROM enforcement_policies WHERE template = 'allow-list'"},
      {"INSERT INTO commands (id, sensor_id, kind, file_path, created_at, created_by, not_after, state, outcome, found,"
       " message, evidence, finished_at) VALUES ('00000000-0000-4000-8000-000000000006',"
       " '00000000-0000-4000-8000-000000000001', 'kill_file', '/tmp/.x', now(), 'olga', now() + interval '1 minute',"
       " 'succeeded', 1, '', '', '\\x00', now())",
       "SELECT file_path = '/tmp/.x' AND evidence = '\\x00' FROM commands WHERE kind = 'kill_file'"},
      {"UPDATE sensors SET labels = '{\"env\": \"prod\"}' WHERE name = 'old-1';"
       "INSERT INTO rollouts (id, kind, order_message, allow_degraded, max_in_flight, max_per_hour, max_failures,"
       " enforce_within_seconds, label_selector, created_by, ordered_by) VALUES"
       " ('00000000-0000-4000-8000-000000000011', 'contain', '', false, 50, 0, 1, 60, 'env=prod', 'olga', 'olga');"
       "INSERT INTO rollout_targets (rollout_id, sensor_id, sensor_name) VALUES"
       " ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001', 'old-1')",
       "SELECT count(*) = 1 FROM rollouts r JOIN rollout_targets t ON t.rollout_id = r.id JOIN sensors s"
       " ON s.id = t.sensor_id WHERE t.state = 'pending' AND s.labels @> '{\"env\": \"prod\"}'"},
      {"UPDATE sensor_reports SET refused_policy = 'the sensor refused policy p' WHERE sensor_id ="
       " '00000000-0000-4000-8000-000000000001'",
       "SELECT refused_policy = 'the sensor refused policy p' FROM sensor_reports WHERE sensor_id ="
       " '00000000-0000-4000-8000-000000000001'"},
      {"INSERT INTO events (sensor_id, run_id, sequence, lost_before, kind, policy_id, pid, comm, detail, uid,"
       " parent_pid, parent_comm, cgroup, container) VALUES ('00000000-0000-4000-8000-000000000001',"
       " gen_random_uuid(), 1, 0, 2, '', 7, 'sh', 'exec of /tmp/x', 0, 1, 'init', '/', '')",
       "SELECT count(*) = 1 FROM events WHERE detail = 'exec of /tmp/x'"},
      {"INSERT INTO deleted_sensors (id, name) VALUES ('00000000-0000-4000-8000-000000000012', 'gone-1')",
       "SELECT count(*) = 1 FROM deleted_sensors WHERE name = 'gone-1'"},
      {"INSERT INTO signed_releases (sensor_id, slot, signed_order, expires_at) VALUES"
       " ('00000000-0000-4000-8000-000000000001', 'containment host', '\\x01', now() + interval '1 day')",
       "SELECT signed_order = '\\x01' FROM signed_releases WHERE slot = 'containment host'"},
      {"INSERT INTO roles (name, permissions, created_by) VALUES ('ci', '{sensors:read}', 'olga');"
       "UPDATE sensors SET clone_suspected_at = now(), clone_reason = 'two instances' WHERE name = 'old-1'",
       "SELECT clone_reason = 'two instances' FROM sensors, roles r WHERE sensors.name = 'old-1' AND r.name = 'ci'"},
      {"INSERT INTO block_lists (sha256, size, binaries) VALUES (decode(repeat('cd', 32), 'hex'), 1, E'/tmp/x\\n');"
       "INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag, list_name, "
       "list_size,"
       " list_sha256) VALUES ('00000000-0000-4000-8000-000000000013', '00000000-0000-4000-8000-000000000001',"
       " 'bulkhead-block-list-feed', 'block-binary', 'sigkill', 'olga', 'e', 'feed', 1,"
       " decode(repeat('cd', 32), 'hex'))",
       "SELECT l.binaries = E'/tmp/x\\n' FROM enforcement_policies p JOIN block_lists l ON l.sha256 = p.list_sha256"
       " WHERE p.list_name = 'feed'"},
  };
  return steps;
}

// The version whose step makes old-1 a suspected clone, which takes no orders.
constexpr size_t kSuspectsClone = 16;

std::vector<Migration> UpTo(size_t version) {
  std::vector<Migration> migrations = EmbeddedMigrations();
  migrations.resize(version);
  return migrations;
}

TEST_CASE("every migration has a step in this test") {
  CHECK(EmbeddedMigrations().size() == Steps().size());
}

TEST_CASE("each older version with data in it comes up to the newest, and keeps the data") {
  const size_t newest = EmbeddedMigrations().size();
  for (size_t version = 0; version <= newest; ++version) {
    INFO("from version " << version);
    const Database database(Database::Schema::kNone);
    REQUIRE_OK(Migrate(database.connection_string(), UpTo(version)));
    for (size_t i = 0; i < version; ++i) database.Execute(Steps()[i].insert);
    REQUIRE_OK(Migrate(database.connection_string(), EmbeddedMigrations()));
    for (size_t i = 0; i < version; ++i) CHECK(database.Value(Steps()[i].check) == "t");
    CHECK(database.Value("SELECT max(version) FROM schema_migrations") == absl::StrCat(newest));
    // The store works on what came out of it.
    const auto store = database.Open();
    Enroll(*store, "new-1");
    REQUIRE_OK(Contain(*store, "new-1"));
    if (version > 0 && version < kSuspectsClone) REQUIRE_OK(Isolate(*store, "old-1"));
  }
}

TEST_CASE("commands from before there were kinds are kills") {
  const Database database(Database::Schema::kNone);
  REQUIRE_OK(Migrate(database.connection_string(), UpTo(4)));
  database.Execute(Steps()[0].insert);
  database.Execute(
      "INSERT INTO commands (id, sensor_id, pid, not_started_after, created_at, created_by, not_after) VALUES"
      " (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 42, now(), now(), 'olga', now() + interval '1 "
      "hour')");
  REQUIRE_OK(Migrate(database.connection_string(), EmbeddedMigrations()));
  CHECK(database.Value("SELECT kind FROM commands WHERE pid = 42") == "kill_process");
  const auto store = database.Open();
  const auto open =
      Give(*store, [](Transaction& tx) { return tx.OpenCommands("00000000-0000-4000-8000-000000000001"); });
  REQUIRE_OK(open);
  CHECK(open->at(0).process.pid == 42);
}

TEST_CASE("a token that was used before tokens counted their uses keeps its use, and certificates stay good") {
  const Database database(Database::Schema::kNone);
  REQUIRE_OK(Migrate(database.connection_string(), UpTo(12)));
  database.Execute(Steps()[0].insert);
  database.Execute(
      "INSERT INTO enrollment_tokens (id, secret_hash, created_at, created_by, expires_at, used_at, used_by_sensor_id)"
      " VALUES ('00000000-0000-4000-8000-000000000021', decode(repeat('ab', 32), 'hex'), now(), 'ada',"
      " now() + interval '1 hour', now(), '00000000-0000-4000-8000-000000000001');"
      "INSERT INTO sensor_certificates (serial, sensor_id, fingerprint, not_before, not_after) VALUES"
      " ('0a', '00000000-0000-4000-8000-000000000001', decode(repeat('0a', 32), 'hex'), now(), now() + interval '1h'),"
      " ('0b', '00000000-0000-4000-8000-000000000001', decode(repeat('0b', 32), 'hex'), now(), now() + interval '1h')");
  REQUIRE_OK(Migrate(database.connection_string(), EmbeddedMigrations()));
  const auto store = database.Open();
  const auto token = Give(*store, [](Transaction& tx) { return tx.GetToken("00000000-0000-4000-8000-000000000021"); });
  REQUIRE_OK(token);
  CHECK(token->state == TokenState::kUsed);
  CHECK(token->used_by_sensor_id == "00000000-0000-4000-8000-000000000001");
  CHECK(database.Value("SELECT sensor_name FROM enrollment_token_uses WHERE number = 1") == "old-1");
  CHECK(database.Value("SELECT bool_and(superseded_at IS NULL) FROM sensor_certificates") == "t");
}

TEST_CASE("an older replica goes on storing heartbeats while the history becomes partitioned") {
  const Database database(Database::Schema::kNone);
  REQUIRE_OK(Migrate(database.connection_string(), UpTo(12)));
  database.Execute(Steps()[0].insert);
  database.Execute(Steps()[2].insert);
  // The statement of the version before, prepared before the migration.
  pqxx::connection older(database.connection_string());
  older.prepare(
      "beat",
      "INSERT INTO heartbeats (sensor_id, observed_generation, observed_digest, degraded_count, critical_count)"
      " VALUES ('00000000-0000-4000-8000-000000000001', 2, '', 0, 0)");
  const auto beat = [&] {
    pqxx::work work(older);
    work.exec_prepared("beat");
    work.commit();
  };
  beat();
  REQUIRE_OK(Migrate(database.connection_string(), EmbeddedMigrations()));
  beat();
  CHECK(database.Value("SELECT count(*) FROM heartbeats") == "1");
  CHECK(database.Value("SELECT count(*) FROM heartbeats_unpartitioned") == "2");
}

TEST_CASE("replicas that start at the same moment migrate once") {
  const Database database(Database::Schema::kNone);
  std::vector<absl::Status> results(4);
  std::vector<std::thread> threads;
  for (absl::Status& result : results) {
    threads.emplace_back([&] { result = Migrate(database.connection_string(), EmbeddedMigrations()); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CHECK_CODE(result, kOk);
}

TEST_CASE("a schema from a newer program is refused with what to do, and left alone") {
  const Database database;
  database.Execute(
      "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, '0099_future.sql', decode(repeat('00', 32), "
      "'hex'))");
  Store::Options options;
  options.connection_string = database.connection_string();
  const absl::Status refused = Store::Open(options).status();
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "0099_future.sql"));
  CHECK(absl::StrContains(refused.message(), "run the newer bulkhead-controlplane"));
}

TEST_CASE("a migration that was changed after it was applied is refused") {
  const Database database;
  std::vector<Migration> changed = EmbeddedMigrations();
  changed[0].sql += "-- one more word";
  const absl::Status refused = Migrate(database.connection_string(), changed);
  CHECK_CODE(refused, kFailedPrecondition);
  CHECK(absl::StrContains(refused.message(), "0001_sensors.sql"));
}

TEST_CASE("a migration that fails leaves nothing of itself") {
  const Database database;
  std::vector<Migration> migrations = EmbeddedMigrations();
  migrations.push_back({absl::StrFormat("%04d_broken.sql", migrations.size() + 1),
                        "CREATE TABLE half (id integer); SELECT no_such_column"});
  CHECK_CODE(Migrate(database.connection_string(), migrations), kInternal);
  CHECK(database.Value("SELECT to_regclass('half') IS NULL") == "t");
  REQUIRE_OK(Migrate(database.connection_string(), EmbeddedMigrations()));
}

TEST_CASE("the files are the same as what is built in, and a gap in their numbers is refused") {
  char directory[] = "/tmp/bulkhead-migrations-test-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = directory;
  for (const Migration& migration : EmbeddedMigrations()) {
    REQUIRE_OK(WriteFileAtomically(absl::StrCat(path, "/", migration.name), migration.sql, 0600));
  }
  const auto read = ReadMigrations(path);
  REQUIRE_OK(read);
  REQUIRE(read->size() == EmbeddedMigrations().size());
  CHECK(read->front().sql == EmbeddedMigrations().front().sql);
  REQUIRE_OK(WriteFileAtomically(path + "/0042_gap.sql", "SELECT 1", 0600));
  CHECK_CODE(ReadMigrations(path), kInvalidArgument);
  CHECK_CODE(ReadMigrations(path + "/missing"), kNotFound);
  std::filesystem::remove_all(path);
}

TEST_CASE("a database that cannot be reached or named is a clear error") {
  Store::Options options;
  options.connection_string = "host=/tmp/no-such-directory user=bulkhead";
  CHECK_CODE(Store::Open(options), kUnavailable);
  options.connection_string = "this is no connection string";
  CHECK_CODE(Store::Open(options), kInvalidArgument);
}

}  // namespace
}  // namespace bulkhead::controlplane
