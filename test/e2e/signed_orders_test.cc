// Orders that operators sign, against a thief who has the database and the control plane.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>

#include "e2e/require_ctl.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

// The system with a sensor that trusts two keys. As before when this ends.
class Signed {
 public:
  explicit Signed(const std::string& requirements) : system_(System::Get()) {
    system_.Reset();
    const std::string keys = system_.directory() + "/order-keys";
    std::ofstream(keys) << "key alice " << MakeKey("alice") << "key bob " << MakeKey("bob") << requirements;
    std::filesystem::permissions(keys, std::filesystem::perms(0600));
    system_.StartSensor({"--order-keys", keys});
    REQUIRE(system_.Converged());
  }
  ~Signed() {
    system_.StartControlPlane();
    system_.StartSensor();
    system_.Converged();
    // What the sensor kept against the database goes with the first order without keys.
    system_.Ctl({"sensor", "contain", System::kSensor, "--wait"});
    system_.Ctl({"sensor", "release", System::kSensor, "--wait"});
  }
  Signed(const Signed&) = delete;
  Signed& operator=(const Signed&) = delete;

  std::string key(const std::string& name) const { return system_.directory() + "/" + name + ".key"; }
  std::string keys() const { return system_.directory() + "/order-keys"; }

  // `order` with alice's signature.
  Result Sign(Arguments order) const {
    order.insert(order.end(), {"--sign-key", key("alice"), "--yes", "--wait"});
    return system_.Ctl(order);
  }

  // Runs SQL and has every sensor told.
  void Tamper(const std::string& sql) const {
    const Result result = system_.Sql(sql + "; UPDATE sensors SET desired_generation = desired_generation + 1");
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const uint64_t generation = system_.GetSensor().desired_generation();
    REQUIRE(Eventually(std::chrono::seconds(30),
                       [&] { return system_.GetSensor().observed().receipt().generation() >= generation; }));
  }

  // Everything that the sensor says it refused.
  std::string Refusals() const {
    std::string text;
    const v1::Sensor sensor = system_.GetSensor();
    for (const v1::ObservedPolicy& policy : sensor.observed().policies()) text += policy.refused() + "\n";
    return text;
  }

 private:
  std::string MakeKey(const std::string& name) const {
    std::filesystem::remove(key(name));
    const Result made = Run({Program("bulkheadctl"), "key", "generate", "--out", key(name)});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    return made.out;
  }

  System& system_;
};

TEST_CASE("a thief of the database and the control plane can neither cut a host nor open it") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  const Signed orders("require contain,isolate,release,kill 1\nisolation-rules none\n");

  // The control plane, which knows no keys here, gives whatever order it is asked for.
  const Result unsigned_order = system.Ctl({"sensor", "contain", "e2e", "--wait"});
  CHECK(unsigned_order.exit_code == 3);
  CHECK_THAT(unsigned_order.err, Contains("not signed"));
  CHECK(sandbox.Out("tcp", 4));
  REQUIRE_CTL({"sensor", "release", "e2e"});

  const Result contained = orders.Sign({"sensor", "contain", "e2e"});
  INFO(contained.err << contained.out);
  REQUIRE(contained.exit_code == 0);
  CHECK_THAT(contained.err, Contains("You sign: network-containment (deny)"));
  CHECK_FALSE(sandbox.Out("tcp", 4));
  CHECK(system.GetSensor().convergence() == v1::CONVERGENCE_STATE_SYNCED);

  const Result released = system.Ctl({"sensor", "release", "e2e", "--wait"});
  CHECK(released.exit_code == 3);
  CHECK_THAT(released.err, Contains("without an order that 1 operators signed"));
  CHECK_FALSE(sandbox.Out("tcp", 4));
  CHECK(system.GetSensor().convergence() == v1::CONVERGENCE_STATE_PARTIAL);

  // The database itself: a policy put in, the signed one changed, all of them taken out.
  orders.Tamper(
      "INSERT INTO enforcement_policies (id, sensor_id, name, template, action, created_by, etag)"
      " SELECT gen_random_uuid(), id, 'network-isolation', 'network-isolation', 'deny', 'thief', 'x' FROM sensors");
  CHECK_THAT(orders.Refusals(), Contains("not signed"));
  CHECK_FALSE(system.GetSensor().observed().isolated());
  REQUIRE(orders.Sign({"sensor", "contain", "e2e"}).exit_code == 0);
  orders.Tamper(
      "UPDATE enforcement_policies SET scope_kind = 'cgroup', scope_name = '/elsewhere',"
      " name = 'network-containment-elsewhere' WHERE template = 'network-containment'");
  CHECK_FALSE(sandbox.Out("tcp", 4));
  orders.Tamper("CREATE TABLE loot AS SELECT * FROM enforcement_policies; DELETE FROM enforcement_policies");
  CHECK_FALSE(sandbox.Out("tcp", 4));
  // A restart of the sensor changes nothing.
  system.StartSensor({"--order-keys", orders.keys()});
  CHECK(Eventually(std::chrono::seconds(30), [&] { return system.GetSensor().connected(); }));
  CHECK_FALSE(sandbox.Out("tcp", 4));

  const Result lifted = orders.Sign({"sensor", "release", "e2e"});
  INFO(lifted.err << lifted.out);
  REQUIRE(lifted.exit_code == 0);
  CHECK(sandbox.Out("tcp", 4));
  // The order of before, with its signature, once more.
  orders.Tamper(
      "INSERT INTO enforcement_policies SELECT * FROM loot WHERE template = 'network-containment'; UPDATE"
      " enforcement_policies SET scope_kind = '', scope_name = '', name = template WHERE template ="
      " 'network-containment'; DROP TABLE loot");
  CHECK_THAT(orders.Refusals(), Contains("replay"));
  CHECK(sandbox.Out("tcp", 4));
  orders.Tamper("DELETE FROM enforcement_policies");
}

TEST_CASE("a kill that nobody signed, and one that was signed for something else, kills nobody") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  const Signed orders("require kill 1\n");
  const auto victim = std::make_unique<Daemon>(sandbox.Inside({"sleep", "300"}), system.directory() + "/victim.log");
  const std::string pid = std::to_string(victim->pid());
  const Result refused = system.Ctl({"sensor", "kill", "e2e", pid, "--wait"});
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, Contains("not authorized: it is not signed"));
  CHECK(victim->Running());

  const auto other = std::make_unique<Daemon>(sandbox.Inside({"sleep", "300"}), system.directory() + "/victim.log");
  const std::string other_pid = std::to_string(other->pid());
  const Result killed = orders.Sign({"sensor", "kill", "e2e", other_pid});
  INFO(killed.err << killed.out);
  REQUIRE(killed.exit_code == 0);
  CHECK(Eventually(std::chrono::seconds(10), [&] { return !other->Running(); }));

  // Its signature under another command, for the same process and for the other one.
  for (const std::string& target : {other_pid, pid}) {
    const Result inserted = system.Sql(
        "INSERT INTO commands (id, sensor_id, kind, pid, boot_id, executable, not_started_after, created_at, "
        "created_by,"
        " not_after, signed_order) SELECT gen_random_uuid(), sensor_id, kind, " +
        target +
        ", boot_id, executable, now(), now(), 'thief', now() + interval '1 hour', signed_order FROM commands WHERE"
        " signed_order IS NOT NULL AND state = 'succeeded'");
    INFO(inserted.err);
    REQUIRE(inserted.exit_code == 0);
  }
  CHECK(Eventually(std::chrono::seconds(30), [&] {
    return system.Sql("SELECT count(*) FROM commands WHERE created_by = 'thief' AND state = 'failed'").out == "2\n";
  }));
  CHECK_THAT(system.Sql("SELECT message FROM commands WHERE created_by = 'thief'").out,
             Contains("replay") && Contains("says something else"));
  CHECK(victim->Running());
}

TEST_CASE("what needs two operators waits for the second, who signs what they see") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  const Signed orders("require isolate,release 2\nisolation-rules none\n");
  system.StartControlPlane({"--order-keys", orders.keys()});
  REQUIRE(system.Converged());
  const Result bare = system.Ctl({"sensor", "isolate", "e2e"});
  CHECK(bare.exit_code == 1);
  CHECK_THAT(bare.err, Contains("SIGNATURE_REQUIRED") && Contains("2 operators"));

  const Result proposed = orders.Sign({"sensor", "isolate", "e2e"});
  INFO(proposed.err << proposed.out);
  REQUIRE(proposed.exit_code == 0);
  CHECK_THAT(proposed.out, Contains("1 of 2"));
  CHECK(sandbox.Out("tcp", 4));
  const Result listed = REQUIRE_CTL({"proposal", "list", "--pending", "-o", "json"});
  const size_t at = listed.out.find("\"id\": \"");
  REQUIRE(at != std::string::npos);
  const std::string id = listed.out.substr(at + 7, 36);

  const Result same = system.Ctl({"proposal", "approve", id, "--sign-key", orders.key("alice"), "--yes"});
  CHECK(same.exit_code == 1);
  CHECK_THAT(same.err, Contains("SAME_OPERATOR"));
  const Result approved =
      system.As("admin", {"proposal", "approve", id, "--sign-key", orders.key("bob"), "--yes", "--wait"});
  INFO(approved.err << approved.out);
  REQUIRE(approved.exit_code == 0);
  CHECK_THAT(approved.err, Contains("You sign: network-isolation (deny)"));
  CHECK_FALSE(sandbox.Out("tcp", 4));

  // The same without a control plane between the two: in a file.
  const std::string file = system.directory() + "/release.json";
  REQUIRE(orders.Sign({"sensor", "release", "e2e", "--only-isolation", "--sign-only", file}).exit_code == 0);
  REQUIRE_CTL({"proposal", "sign", file, "--sign-key", orders.key("bob"), "--yes"});
  REQUIRE_CTL({"proposal", "submit", file, "--wait"});
  CHECK(sandbox.Out("tcp", 4));
}

}  // namespace
}  // namespace bulkhead::e2e
