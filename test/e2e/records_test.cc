// What is remembered: events through the death of whoever stores them, and an audit log that can be checked elsewhere.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

std::string Trimmed(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

TEST_CASE("each stopped execution is an event, once, also when the control plane is killed meanwhile") {
  System& system = System::Get();
  system.Reset();
  const std::string tool = system.directory() + "/tool";
  std::filesystem::copy_file("/bin/true", tool, std::filesystem::copy_options::overwrite_existing);
  const Result blocked = system.Ctl({"sensor", "block-binary", "e2e", "--path", tool, "--wait", "-o", "json"});
  INFO(blocked.err << system.Logs());
  REQUIRE(blocked.exit_code == 0);
  constexpr int kTries = 12;
  for (int i = 0; i < kTries; ++i) {
    REQUIRE(system.sandbox().Execute(tool).rfind("cut", 0) == 0);
    if (i % 4 == 2) {
      system.control_plane().Kill();
      system.StartControlPlane();
    }
  }
  const auto count = [&](const std::string& what) {
    return Trimmed(system.Sql("SELECT " + what + " FROM events WHERE detail LIKE '%" + tool + "%'").out);
  };
  REQUIRE(Eventually(std::chrono::seconds(60), [&] { return std::stoi(count("count(*)")) >= kTries; }));
  CHECK(count("count(*)") == count("count(DISTINCT (sensor_id, run_id, sequence))"));
  CHECK(count("coalesce(sum(lost_before), 0)") == "0");

  const Result listed =
      system.As("viewer", {"events", "list", "--sensor", "e2e", "--kind", "exec-denied", "--since", "1h"});
  INFO(listed.err);
  REQUIRE(listed.exit_code == 0);
  CHECK_THAT(listed.out, Contains(tool) && Contains("e2e") && Contains("exec-denied"));
  const Result counted = system.As("viewer", {"events", "counts", "--sensor", "e2e"});
  CHECK_THAT(counted.out, Contains("e2e"));
}

TEST_CASE("a plain heartbeat is stored in batches, and the sensor stays healthy through restarts of the database") {
  System& system = System::Get();
  system.Reset();
  const auto beats = [&] { return std::stoi(system.Sql("SELECT count(*) FROM heartbeats").out); };
  const int before = beats();
  CHECK(Eventually(std::chrono::seconds(20), [&] { return beats() >= before + 5; }));
  CHECK(Trimmed(system.Sql("SELECT count(*) FROM heartbeats_default").out) == "0");
  CHECK(system.GetSensor().health() != v1::HEALTH_OFFLINE);
}

TEST_CASE("a role that does not own the tables runs the control plane, and cannot touch the audit log") {
  System& system = System::Get();
  const std::string where = "@/two_roles?host=" + system.directory() + "/postgres.run";
  REQUIRE(system.Sql("CREATE ROLE rt_owner LOGIN").exit_code == 0);
  REQUIRE(system.Sql("CREATE ROLE rt LOGIN").exit_code == 0);
  REQUIRE(system.Sql("CREATE DATABASE two_roles OWNER rt_owner").exit_code == 0);
  const std::string state = system.directory() + "/two_roles";
  const auto plane = [&](const Arguments& arguments, const std::string& role) {
    Arguments whole = {Program("bulkhead-controlplane")};
    whole.insert(whole.end(), arguments.begin(), arguments.end());
    whole.insert(whole.end(), {"--state", state, "--postgres=postgresql://" + role + where});
    return whole;
  };
  REQUIRE(Run(plane({"init"}, "rt")).exit_code == 0);
  const Result too_early = Run(plane({"serve", "--listen", "127.0.0.1:0"}, "rt"));
  CHECK(too_early.exit_code == 1);
  CHECK_THAT(too_early.err, Contains("migrate --runtime-role"));
  const Result unbound = Run(plane({"migrate", "--runtime-role", "rt_owner"}, "rt_owner"));
  CHECK_THAT(unbound.err, Contains("no privilege binds it"));
  const Result migrated = Run(plane({"migrate", "--runtime-role", "rt"}, "rt_owner"));
  INFO(migrated.err);
  REQUIRE(migrated.exit_code == 0);

  const std::string server = "127.0.0.1:" + std::to_string(FreePort());
  Daemon serving(plane({"serve", "--listen", server, "--server-name", "127.0.0.1"}, "rt"), state + "/log");
  const std::string out = state + "/admin";
  const Result issued =
      Run(plane({"issue-operator", "--name", "ada", "--role", "admin", "--out", out, "--server", server}, "rt"));
  INFO(issued.err);
  REQUIRE(issued.exit_code == 0);
  const auto ctl = [&](const Arguments& arguments) {
    Arguments whole = {Program("bulkheadctl"), "--config", out + "/config.yaml"};
    whole.insert(whole.end(), arguments.begin(), arguments.end());
    return Run(whole);
  };
  REQUIRE(Eventually(std::chrono::seconds(30), [&] { return ctl({"token", "create"}).exit_code == 0; }));
  CHECK(ctl({"audit", "verify"}).exit_code == 0);
  for (const char* const sql : {"DELETE FROM audit_log", "UPDATE audit_log SET actor = 'x'", "TRUNCATE audit_log",
                                "ALTER TABLE audit_log DISABLE TRIGGER ALL", "DROP TABLE audit_log"}) {
    const Result refused =
        Run({"psql", "-h", system.directory() + "/postgres.run", "-U", "rt", "-d", "two_roles", "-XAtqc", sql});
    INFO(sql);
    CHECK(refused.exit_code != 0);
    CHECK((refused.err.find("permission denied") != std::string::npos ||
           refused.err.find("must be owner") != std::string::npos));
  }
  CHECK(serving.Stop() == 0);
}

// Last: it leaves the log rewritten.
TEST_CASE("an owner who rewrites the audit log deceives the control plane, and not who kept its head") {
  System& system = System::Get();
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--wait", "--reason", "\"quoted\" é"}).exit_code == 0);
  system.Reset();
  const std::string file = system.directory() + "/audit.jsonl";
  const std::string head = Trimmed(system.As("viewer", {"audit", "head"}).out);
  const Result exported = system.As("viewer", {"audit", "export"});
  REQUIRE(exported.exit_code == 0);
  Write(file, exported.out);
  const auto verify = [&](const Arguments& more) {
    // Neither server nor identity is needed.
    Arguments whole = {Program("bulkheadctl"), "audit", "verify"};
    whole.insert(whole.end(), more.begin(), more.end());
    return Run(whole);
  };
  const Result whole = verify({"--file", file, "--expect-head", head});
  INFO(whole.err);
  REQUIRE(whole.exit_code == 0);
  CHECK_THAT(whole.out, Contains("intact") && Contains(head));
  CHECK(system.As("viewer", {"audit", "verify", "--expect-head", head}).exit_code == 0);

  std::string forged = exported.out;
  forged.replace(forged.find("sensor_contained"), 16, "sensor_released.");
  Write(file, forged);
  CHECK(verify({"--file", file}).exit_code == 1);
  // Records cut off at the end, and the head moved back to hide it.
  REQUIRE(system
              .Sql("SET session_replication_role = replica; DELETE FROM audit_log WHERE sequence >= (SELECT "
                   "max(sequence) - 1 "
                   "FROM audit_log); UPDATE audit_heads SET (sequence, hash) = (SELECT sequence, hash FROM audit_log "
                   "ORDER BY "
                   "sequence DESC LIMIT 1)")
              .exit_code == 0);
  CHECK(system.As("viewer", {"audit", "verify"}).exit_code == 0);
  const Result missed = system.As("viewer", {"audit", "verify", "--expect-head", head});
  CHECK(missed.exit_code == 1);
  CHECK_THAT(missed.err, Contains("tampered"));
  Write(file, system.As("viewer", {"audit", "export"}).out);
  CHECK(verify({"--file", file}).exit_code == 0);
  CHECK(verify({"--file", file, "--expect-head", head}).exit_code == 1);
}

}  // namespace
}  // namespace bulkhead::e2e
