// The schema itself refuses bad rows, whatever the program does.
#include <catch2/catch.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

constexpr char kSensor[] = "00000000-0000-4000-8000-000000000001";

// A database with one sensor of a known id.
struct WithSensor : Database {
  WithSensor() {
    Execute(absl::StrCat(
        "INSERT INTO sensors (id, name, desired_digest, enrolled_at) VALUES ('", kSensor,
        "', 'web-1', decode(repeat('ab', 32), 'hex'), now()); INSERT INTO sensor_reports (sensor_id) VALUES ('",
        kSensor, "')"));
  }

  std::string Policy(const std::string& values) const {
    return Refusal(absl::StrCat(
        "INSERT INTO enforcement_policies (id, sensor_id, created_by, etag, name, template, action, binary_path)"
        " VALUES (gen_random_uuid(), '",
        kSensor, "', 'olga', 'e', ", values, ")"));
  }
  std::string Rule(const std::string& values) const {
    return Refusal(absl::StrCat(
        "INSERT INTO rules (id, created_at, created_by, remote, first_port, last_port, protocol, direction)"
        " VALUES (gen_random_uuid(), now(), 'olga', ",
        values, ")"));
  }
  std::string Command(const std::string& columns, const std::string& values) const {
    return Refusal(absl::StrCat(
        "INSERT INTO commands (kind, id, sensor_id, not_started_after, created_at, created_by, not_after, ", columns,
        ") VALUES ('kill_process', gen_random_uuid(), '", kSensor,
        "', now(), now(), 'olga', now() + interval '1 minute', ", values, ")"));
  }
  std::string GuardCommand(const std::string& columns, const std::string& values) const {
    return Refusal(absl::StrCat("INSERT INTO commands (id, sensor_id, created_at, created_by, not_after, ", columns,
                                ") VALUES (gen_random_uuid(), '", kSensor,
                                "', now(), 'olga', now() + interval '1 minute', ", values, ")"));
  }
};

TEST_CASE("sensors: names, trust, digests and generations") {
  const WithSensor database;
  const auto set = [&](const std::string& what) { return database.Refusal("UPDATE sensors SET " + what); };
  CHECK(set("name = 'Web 1'") == "23514 sensors_name_check");
  CHECK(set("trust = 'perhaps'") == "23514 sensors_trust_check");
  CHECK(set("desired_digest = 'short'") == "23514 sensors_desired_digest_check");
  CHECK(set("desired_generation = 5").empty());
  CHECK(set("desired_generation = 4") == "23514 sensors_never_go_back");
  CHECK(set("revision = 0") == "23514 sensors_never_go_back");
  CHECK(
      database.Refusal("INSERT INTO sensors (id, name, desired_digest, enrolled_at) VALUES (gen_random_uuid(), 'web-1',"
                       " decode(repeat('ab', 32), 'hex'), now())") == "23505 sensors_name_key");
}

TEST_CASE("reports: digests, tiers, failures and sessions") {
  const WithSensor database;
  const auto set = [&](const std::string& what) { return database.Refusal("UPDATE sensor_reports SET " + what); };
  CHECK(set("observed_digest = 'short'") == "23514 sensor_reports_observed_digest_check");
  CHECK(set("isolation_tier = 5") == "23514 sensor_reports_tiers_check");
  CHECK(set("failed_reason = 'without a generation'") == "23514 sensor_reports_failed_check");
  CHECK(set("session_holder = gen_random_uuid()") == "23514 sensor_reports_session_check");
  CHECK(set("session_epoch = 5, session_holder = gen_random_uuid()").empty());
  CHECK(set("session_epoch = 4") == "23514 sensor_reports_epoch_grows");
}

TEST_CASE("policies: one of each network kind, names that fit the template, paths that are absolute") {
  const WithSensor database;
  CHECK(database.Policy("'network-containment', 'network-containment', 'deny', ''").empty());
  CHECK(database.Policy("'network-containment', 'network-containment', 'notify', ''") ==
        "23505 enforcement_policies_sensor_id_name_key");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'network-isolation', 'deny', ''") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'network-isolation', 'network-isolation', 'deny', '/x'") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'block-binary', 'deny', ''") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'block-binary', 'deny', 'x/y'") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'bulkhead-block-binary-', 'block-binary', 'deny', '/x'") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'block-binary', 'burn', '/x'") ==
        "23514 enforcement_policies_action_check");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'block-binary', 'deny', '/' || repeat('x', 4095)") ==
        "23514 enforcement_policies_template_check");
  CHECK(database.Policy("'bulkhead-block-binary-x', 'block-binary', 'deny', '/' || repeat('x', 4094)").empty());
  CHECK(database.Policy("'bulkhead-block-binary-y', 'block-binary', 'deny', '/' || repeat('x', 4094)") ==
        "23505 enforcement_policies_one_block_key");
}

TEST_CASE("scopes: one of each network policy for each, with a name that says so, and none for a block") {
  const WithSensor database;
  const auto policy = [&](const std::string& name, const std::string& values) {
    return database.Refusal(absl::StrCat(
        "INSERT INTO enforcement_policies (id, sensor_id, created_by, etag, action, name, template, scope_kind,"
        " scope_name) VALUES (gen_random_uuid(), '",
        kSensor, "', 'olga', 'e', 'deny', '", name, "', ", values, ")"));
  };
  CHECK(policy("network-isolation-a", "'network-isolation', 'unit', 'a.service'").empty());
  CHECK(policy("network-isolation-b", "'network-isolation', 'cgroup', '/a'").empty());
  CHECK(policy("network-containment-a", "'network-containment', 'unit', 'a.service'").empty());
  CHECK(policy("network-isolation", "'network-isolation', '', ''").empty());
  CHECK(policy("network-isolation-c", "'network-isolation', 'unit', 'a.service'") ==
        "23505 enforcement_policies_one_network_key");
  CHECK(policy("network-isolation-d", "'network-isolation', '', ''") == "23514 enforcement_policies_template_check");
  CHECK(policy("network-isolation", "'network-isolation', 'unit', 'b.service'") ==
        "23514 enforcement_policies_template_check");
  CHECK(policy("network-isolation-e", "'network-isolation', 'host', 'b'") == "23514 enforcement_policies_scope_check");
  CHECK(policy("network-isolation-e", "'network-isolation', 'unit', ''") == "23514 enforcement_policies_scope_check");
  CHECK(policy("network-isolation-e", "'network-isolation', '', 'b'") == "23514 enforcement_policies_scope_check");
  CHECK(policy("bulkhead-block-binary-x", "'block-binary', 'unit', 'b.service'") ==
        "23514 enforcement_policies_template_check");
}

TEST_CASE("allow-lists: one for each scope, never without one, and no list on another policy") {
  const WithSensor database;
  const auto policy = [&](const std::string& name, const std::string& values) {
    return database.Refusal(absl::StrCat(
        "INSERT INTO enforcement_policies (id, sensor_id, created_by, etag, action, name, template, scope_kind,"
        " scope_name, allow_learn, allow_binaries) VALUES (gen_random_uuid(), '",
        kSensor, "', 'olga', 'e', 'deny', '", name, "', ", values, ")"));
  };
  CHECK(policy("bulkhead-allow-list-a", "'allow-list', 'unit', 'a.service', false, ARRAY[' /bin/a']").empty());
  CHECK(policy("bulkhead-allow-list-b", "'allow-list', 'cgroup', '/a', true, '{}'").empty());
  CHECK(policy("bulkhead-allow-list-c", "'allow-list', 'unit', 'a.service', true, '{}'") ==
        "23505 enforcement_policies_one_network_key");
  CHECK(policy("bulkhead-allow-list-c", "'allow-list', '', '', true, '{}'") ==
        "23514 enforcement_policies_template_check");
  CHECK(policy("list", "'allow-list', 'unit', 'b.service', true, '{}'") == "23514 enforcement_policies_template_check");
  CHECK(
      policy("bulkhead-allow-list-d", "'allow-list', 'unit', 'b.service', false, array_fill(' /x'::text, '{4097}')") ==
      "23514 enforcement_policies_allow_list_check");
  CHECK(policy("network-isolation-a", "'network-isolation', 'unit', 'a.service', true, '{}'") ==
        "23514 enforcement_policies_allow_list_check");
}

TEST_CASE(
    "blocks by content: 32 bytes, once each, killing nobody that NOTIFY spares, and no part of a network policy") {
  const WithSensor database;
  const auto block = [&](const std::string& name, const std::string& values) {
    return database.Refusal(absl::StrCat(
        "INSERT INTO enforcement_policies (id, sensor_id, created_by, etag, name, template, action, binary_path,"
        " binary_sha256, kill_running) VALUES (gen_random_uuid(), '",
        kSensor, "', 'olga', 'e', '", name, "', ", values, ")"));
  };
  const std::string digest = "decode(repeat('ab', 32), 'hex')";
  CHECK(block("bulkhead-block-binary-a", "'block-binary', 'deny', '', " + digest + ", true").empty());
  CHECK(block("bulkhead-block-binary-b", "'block-binary', 'deny', '', " + digest + ", false") ==
        "23505 enforcement_policies_one_digest_key");
  CHECK(block("bulkhead-block-binary-c", "'block-binary', 'deny', '/x', " + digest + ", false").empty());
  CHECK(block("bulkhead-block-binary-d", "'block-binary', 'notify', '/y', '', true") ==
        "23514 enforcement_policies_template_check");
  CHECK(block("bulkhead-block-binary-e", "'block-binary', 'deny', '/z', '\\xab', false") ==
        "23514 enforcement_policies_template_check");
  CHECK(block("network-isolation", "'network-isolation', 'deny', '', " + digest + ", false") ==
        "23514 enforcement_policies_template_check");
}

TEST_CASE("block-lists: one of each name, of a content that is there, and beside nothing else that names a file") {
  const WithSensor database;
  CHECK(database.Refusal("INSERT INTO block_lists VALUES (decode(repeat('cd', 32), 'hex'), 2, E'/a\n/b\n')").empty());
  CHECK(database.Refusal("INSERT INTO block_lists VALUES (decode(repeat('ef', 32), 'hex'), 100001, '/a')") ==
        "23514 block_lists_size_check");
  const auto list = [&](const std::string& name, const std::string& values) {
    return database.Refusal(absl::StrCat(
        "INSERT INTO enforcement_policies (id, sensor_id, created_by, etag, action, name, template, binary_path,"
        " list_name, list_size, list_sha256) VALUES (gen_random_uuid(), '",
        kSensor, "', 'olga', 'e', 'deny', '", name, "', ", values, ")"));
  };
  const std::string content = "2, decode(repeat('cd', 32), 'hex')";
  CHECK(list("bulkhead-block-list-feed", "'block-binary', '', 'feed', " + content).empty());
  CHECK(list("bulkhead-block-list-more", "'block-binary', '', 'more', " + content).empty());
  CHECK(list("bulkhead-block-list-feed", "'block-binary', '', 'feed', " + content) ==
        "23505 enforcement_policies_sensor_id_name_key");
  CHECK(list("bulkhead-block-list-x", "'block-binary', '', 'y', " + content) ==
        "23514 enforcement_policies_template_check");
  CHECK(list("bulkhead-block-list-z", "'block-binary', '/bin/z', 'z', " + content) ==
        "23514 enforcement_policies_block_list_check");
  CHECK(list("bulkhead-block-list-n", "'block-binary', '', 'n', 2, NULL") ==
        "23514 enforcement_policies_block_list_check");
  CHECK(list("bulkhead-block-list-g", "'block-binary', '', 'g', 2, decode(repeat('00', 32), 'hex')") ==
        "23503 enforcement_policies_list_sha256_fkey");
  CHECK(list("network-isolation", "'network-isolation', '', 'feed', " + content) ==
        "23514 enforcement_policies_block_list_check");
  CHECK(database.Refusal("DELETE FROM block_lists") == "23503 enforcement_policies_list_sha256_fkey");
}

TEST_CASE("rules: ports in order, protocols that have ports, prefixes without host bits, no doubles") {
  const WithSensor database;
  CHECK(database.Rule("NULL, 22, 22, 6, 'inbound'").empty());
  CHECK(database.Rule("NULL, 22, 22, 6, 'inbound'") == "23505 rules_meaning_key");
  CHECK(database.Rule("NULL, 23, 22, 6, 'inbound'") == "23514 rules_ports_check");
  CHECK(database.Rule("NULL, 0, 22, 6, 'inbound'") == "23514 rules_ports_check");
  CHECK(database.Rule("NULL, 1, 70000, 6, 'inbound'") == "23514 rules_ports_check");
  CHECK(database.Rule("NULL, 1, 2, 1, 'inbound'") == "23514 rules_protocol_ports_check");
  CHECK(database.Rule("NULL, 0, 0, 256, 'inbound'") == "23514 rules_protocol_check");
  CHECK(database.Rule("NULL, 0, 0, 0, 'sideways'") == "23514 rules_direction_check");
  CHECK(database.Rule("'10.0.0.1/8', 0, 0, 0, 'any'") == "22P02 ");
}

TEST_CASE("commands: never pid 1, a result exactly when finished, a time exactly when ended") {
  const WithSensor database;
  CHECK(database.Command("pid", "1") == "23514 commands_pid_check");
  CHECK(database.Command("pid", "4194305") == "23514 commands_pid_check");
  CHECK(database.Command("pid, state", "2, 'perhaps'") == "23514 commands_state_check");
  CHECK(database.Command("pid, finished_at", "2, now()") == "23514 commands_finished_check");
  CHECK(database.Command("pid, state, finished_at", "2, 'succeeded', now()") == "23514 commands_result_check");
  CHECK(database.Command("pid, state, finished_at, outcome", "2, 'failed', now(), 4") == "23514 commands_result_check");
  CHECK(database.Command("pid, state", "2, 'delivered'") == "23514 commands_delivered_check");
  CHECK(database.Command("pid", "2").empty());
  CHECK(database.Refusal("UPDATE commands SET not_after = created_at").substr(0, 5) == "23514");
}

TEST_CASE("commands: each kind has its own columns and outcomes, and none of another's") {
  const WithSensor database;
  const std::string hash = "decode(repeat('ab', 32), 'hex')";
  CHECK(database.Command("pid, outcome, state, finished_at, found, message", "2, 7, 'succeeded', now(), '', ''") ==
        "23514 commands_outcome_check");
  CHECK(database.Command("pid, guard_down_seconds", "2, 60") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind", "'kill_process'") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind", "'reboot'") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind", "'lower_guard'") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind, guard_down_seconds", "'lower_guard', 0") ==
        "23514 commands_guard_down_seconds_check");
  CHECK(database.GuardCommand("kind, guard_down_seconds", "'lower_guard', 3601") ==
        "23514 commands_guard_down_seconds_check");
  CHECK(database.GuardCommand("kind, guard_down_seconds, pid", "'lower_guard', 60, 2") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind, guard_down_seconds, outcome, state, finished_at, found, message",
                              "'lower_guard', 60, 1, 'succeeded', now(), '', ''") == "23514 commands_outcome_check");
  CHECK(database.GuardCommand("kind", "'set_guard_code'") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind, guard_code_hash", "'set_guard_code', ''") ==
        "23514 commands_guard_code_hash_check");
  CHECK(database.GuardCommand("kind, guard_code_hash, guard_down_seconds", "'set_guard_code', " + hash + ", 1") ==
        "23514 commands_kind_check");
  CHECK(database.GuardCommand("guard_down_seconds", "60").substr(0, 5) == "23502");
  CHECK(database.GuardCommand("kind, guard_down_seconds", "'lower_guard', 60").empty());
  CHECK(database.GuardCommand("kind, guard_code_hash", "'set_guard_code', " + hash).empty());
  CHECK(database.GuardCommand("kind", "'kill_file'") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind, file_path", "'kill_file', 'x'") == "23514 commands_file_check");
  CHECK(database.GuardCommand("kind, file_sha256", "'kill_file', 'ab'") == "23514 commands_file_check");
  CHECK(database.GuardCommand("kind, file_path, pid", "'kill_file', '/x', 2") == "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind, scope_kind, scope_name", "'kill_scope', 'host', '/a'") ==
        "23514 commands_scope_check");
  CHECK(database.GuardCommand("kind, scope_kind, scope_name", "'kill_file', 'cgroup', '/a'") ==
        "23514 commands_kind_check");
  CHECK(database.GuardCommand("kind", "'kill_tree'") == "23514 commands_kind_check");
  CHECK(database.Command("pid, evidence", "2, 'ab'") == "23514 commands_evidence_check");
  CHECK(database.GuardCommand("kind, pid, not_started_after", "'kill_tree', 2, now()").empty());
  CHECK(database.GuardCommand("kind, file_path", "'kill_file', '/x'").empty());
  CHECK(database.GuardCommand("kind, scope_kind, scope_name", "'kill_scope', 'unit', 'a.service'").empty());
  CHECK(database.Refusal("UPDATE commands SET file_path = '/y' WHERE kind = 'kill_file'") ==
        "23514 commands_move_forward");
  CHECK(database.Refusal("UPDATE commands SET guard_down_seconds = 61 WHERE kind = 'lower_guard'") ==
        "23514 commands_move_forward");
}

TEST_CASE("tokens: no more uses than allowed, and one for a restored sensor") {
  const WithSensor database;
  const auto insert = [&](const std::string& columns, const std::string& values) {
    return database.Refusal(
        absl::StrCat("INSERT INTO enrollment_tokens (id, secret_hash, created_at, created_by, expires_at, ", columns,
                     ") VALUES (gen_random_uuid(), decode(repeat('ab', 32), 'hex'), now(), 'ada',"
                     " now() + interval '1 hour', ",
                     values, ")"));
  };
  CHECK(insert("uses", "2") == "23514 enrollment_tokens_uses_check");
  CHECK(insert("uses", "-1") == "23514 enrollment_tokens_uses_check");
  CHECK(insert("max_uses", "0") == "23514 enrollment_tokens_uses_check");
  CHECK(insert("max_uses", "10001") == "23514 enrollment_tokens_uses_check");
  CHECK(insert("max_uses, reenroll_sensor_id", absl::StrCat("2, '", kSensor, "'")) ==
        "23514 enrollment_tokens_reenroll_check");
  CHECK(insert("label", "repeat('x', 129)") == "23514 enrollment_tokens_label_check");
  CHECK(insert("label", "'good'").empty());
  CHECK(insert("label", "'again'") == "23505 enrollment_tokens_secret_hash_key");
}

TEST_CASE("the audit log can be added to and not changed, by the control plane's role or by accident") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  for (const char* const sql :
       {"UPDATE audit_log SET actor = 'mallory'", "DELETE FROM audit_log", "TRUNCATE audit_log"}) {
    INFO(sql);
    CHECK(database.Refusal(sql) == "42501 ");
    CHECK_THROWS_WITH(database.ExecuteAsSuperuser(sql), Catch::Contains("never changed or deleted"));
  }
  CHECK(database.Refusal("INSERT INTO audit_heads (only_row, sequence, hash) VALUES (false, 0, '')").substr(0, 5) ==
        "23514");
}

}  // namespace
}  // namespace bulkhead::controlplane
