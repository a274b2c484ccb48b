// Who may do what, and what happens to those who may not any more.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

std::string ReadWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

TEST_CASE("each role may do what its row says and no more") {
  System& system = System::Get();
  system.Reset();
  const auto denied = [&](const std::string& role, const Arguments& arguments) {
    const Result result = system.As(role, arguments);
    INFO(role << ": " << arguments[0] << " " << arguments[1] << "\n" << result.err);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.err, Contains("PERMISSION_DENIED") || Contains("use an operator with a higher role"));
  };
  const Arguments contain = {"sensor", "contain", "e2e"};
  const Arguments rule = {"isolation-rule", "add", "--direction", "inbound", "--ports", "2222"};
  for (const Arguments& order : {contain, rule, Arguments{"sensor", "kill", "e2e", "4000000"},
                                 Arguments{"sensor", "block-binary", "e2e", "/tmp/x"}, Arguments{"token", "list"}}) {
    denied("viewer", order);
  }
  for (const Arguments& order : {Arguments{"sensor", "disable", "e2e"}, Arguments{"sensor", "revoke", "e2e", "--yes"},
                                 Arguments{"sensor", "delete", "e2e", "--yes"}, Arguments{"token", "create"}}) {
    denied("operator", order);
  }
  CHECK(system.As("viewer", {"sensor", "list"}).exit_code == 0);
  CHECK(system.As("viewer", {"audit", "verify"}).exit_code == 0);
  CHECK(system.sandbox().Out("tcp", 4));
  CHECK_FALSE(system.GetSensor().is_contained());
}

TEST_CASE("disable leaves the sensor working, enable undoes it") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.As("admin", {"sensor", "disable", "e2e"}).exit_code == 0);
  CHECK(system.GetSensor().disabled());
  CHECK(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  REQUIRE(system.As("admin", {"sensor", "enable", "e2e"}).exit_code == 0);
  CHECK_FALSE(system.GetSensor().disabled());
  system.Reset();
}

TEST_CASE("revoking ends the stream at once, enforcement stays, and enrolling again restores the sensor") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  const std::string id = system.GetSensor().id();
  REQUIRE(system.As("admin", {"sensor", "revoke", "e2e", "--yes"}).exit_code == 0);
  CHECK(Eventually(std::chrono::seconds(5), [&] { return !system.GetSensor().connected(); }));
  const v1::Sensor revoked = system.GetSensor();
  CHECK(revoked.trust() == v1::TRUST_REVOKED);
  CHECK(revoked.health() == v1::HEALTH_CRITICAL);
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  const Result refused = system.Ctl({"sensor", "release", "e2e"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Contains("SENSOR_REVOKED") && Contains("token create --reenroll"));
  CHECK(system.sensor().Running());

  // A restart with the old identity does not help.
  system.sensor().Stop();
  system.StartSensor();
  CHECK_FALSE(Eventually(std::chrono::seconds(3), [&] { return system.GetSensor().connected(); }));

  system.sensor().Stop();
  system.Enroll(true);
  system.StartSensor();
  REQUIRE(system.Converged());
  const v1::Sensor restored = system.GetSensor();
  CHECK(restored.id() == id);
  CHECK(restored.trust() == v1::TRUST_TRUSTED);
  CHECK(restored.is_contained());
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  system.Reset();
}

TEST_CASE("a token enrolls once, and not after it was revoked") {
  System& system = System::Get();
  const std::string state = system.directory() + "/second";
  const std::string file = system.directory() + "/second-token";
  REQUIRE(system.As("admin", {"token", "create", "--secret-file", file}).exit_code == 0);
  const std::string secret = ReadWord(file);
  REQUIRE(system.EnrollWith(secret, "second", state).exit_code == 0);
  CHECK_THAT(system.Ctl({"sensor", "list"}).out, Contains("second"));
  const Result used = system.EnrollWith(secret, "third", system.directory() + "/third");
  CHECK(used.exit_code == 1);
  CHECK_THAT(used.err, Contains("used"));

  const Result created = system.As("admin", {"token", "create", "--secret-file", file});
  const std::string id = created.out.substr(created.out.find("token:  ") + 8, 36);
  REQUIRE(system.As("admin", {"token", "revoke", id}).exit_code == 0);
  CHECK_THAT(system.EnrollWith(ReadWord(file), "third", system.directory() + "/third").err, Contains("revoked"));
  CHECK_THAT(system.EnrollWith("made-up", "third", system.directory() + "/third").err, Contains("token"));
  CHECK_THAT(system.Ctl({"sensor", "list"}).out, !Contains("third"));

  REQUIRE(system.As("admin", {"sensor", "delete", "second", "--yes"}).exit_code == 0);
  const Result gone = system.Ctl({"sensor", "get", "second"});
  CHECK(gone.exit_code == 1);
  CHECK_THAT(gone.err, Contains("SENSOR_NOT_FOUND"));
  CHECK_THAT(system.Ctl({"audit", "list"}).out, Contains("sensor_deleted"));
}

TEST_CASE("a certificate of another CA is refused") {
  System& system = System::Get();
  const std::string directory = system.directory() + "/stranger";
  std::filesystem::create_directories(directory);
  REQUIRE(Run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
               "1", "-subj", "/CN=admin", "-addext", "subjectAltName=URI:spiffe://bulkhead/operator/admin", "-keyout",
               directory + "/key.pem", "-out", directory + "/cert.pem"})
              .exit_code == 0);
  const Result refused =
      system.Ctl({"--cert", directory + "/cert.pem", "--key", directory + "/key.pem", "sensor", "list"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Contains("CERTIFICATE_INVALID") || Contains("check that the control plane runs"));
  CHECK(refused.out.empty());
}

}  // namespace
}  // namespace bulkhead::e2e
