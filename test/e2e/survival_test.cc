// What stays when a part dies: the sensor, the control plane, the database.
#include <catch2/catch.hpp>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a sensor that was away gets what it missed") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.sensor().Stop() == 0);
  const Result ordered = system.Ctl({"sensor", "contain", "e2e", "--wait", "--timeout", "2s"});
  CHECK(ordered.exit_code == 3);
  CHECK_THAT(ordered.err, Contains("not connected"));
  CHECK(system.sandbox().Out("tcp", 4));
  system.StartSensor();
  REQUIRE(Eventually(std::chrono::seconds(30), [&] { return !system.sandbox().Out("tcp", 4); }));
  REQUIRE(system.Converged());
  CHECK(system.GetSensor().observed().contained());
  system.Reset();
  CHECK(system.sandbox().Out("tcp", 4));
}

TEST_CASE("kill -9 of the sensor leaves enforcement in place, and a new one adopts it") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "isolate", "e2e", "--wait"}).exit_code == 0);
  const v1::Receipt before = system.GetSensor().observed().receipt();
  system.sensor().Kill();
  CHECK_FALSE(system.sandbox().Out("udp", 4));
  CHECK_FALSE(system.sandbox().In(6));
  system.StartSensor();
  // Whatever the new one does, the wall never opens: tried all the while it starts.
  bool opened = false;
  REQUIRE(Eventually(std::chrono::seconds(30), [&] {
    opened = opened || system.sandbox().In(4);
    return system.GetSensor().connected() && system.GetSensor().convergence() == v1::CONVERGENCE_STATE_SYNCED;
  }));
  CHECK_FALSE(opened);
  CHECK(system.GetSensor().observed().receipt().generation() == before.generation());
  CHECK(system.GetSensor().observed().receipt().digest() == before.digest());
  system.Reset();
  CHECK(system.sandbox().In(4));
}

TEST_CASE("a lease ends in the kernel while the sensor is dead, and the control plane follows") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--for", "15s", "--wait"}).exit_code == 0);
  system.sensor().Kill();
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  CHECK(Eventually(std::chrono::seconds(30), [&] { return system.sandbox().Out("tcp", 4); }));
  CHECK(Eventually(std::chrono::seconds(15), [&] { return !system.GetSensor().is_contained(); }));
  CHECK_THAT(system.Ctl({"audit", "list"}).out, Contains("policy_expired"));
  system.StartSensor();
  REQUIRE(system.Converged());
  CHECK(system.sandbox().Out("tcp", 4));
}

TEST_CASE("kill -9 of the control plane loses nothing") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  const uint64_t generation = system.GetSensor().desired_generation();
  system.control_plane().Kill();
  CHECK_FALSE(system.sandbox().Out("tcp", 6));
  const Result nobody = system.Ctl({"sensor", "list"});
  CHECK(nobody.exit_code == 1);
  CHECK_THAT(nobody.err, Contains("check that the control plane runs"));
  system.StartControlPlane();
  REQUIRE(system.Converged());
  const v1::Sensor sensor = system.GetSensor();
  CHECK(sensor.is_contained());
  CHECK(sensor.desired_generation() == generation);
  CHECK_THAT(system.Ctl({"audit", "verify"}).out, Contains("intact"));
  system.Reset();
  CHECK(system.sandbox().Out("tcp", 6));
}

TEST_CASE("a kill ordered while the sensor is away is carried out once when it returns") {
  System& system = System::Get();
  system.Reset();
  Daemon victim(system.sandbox().Inside({"sleep", "600"}), system.directory() + "/victim.log");
  const std::string pid = std::to_string(victim.pid());
  REQUIRE(system.sensor().Stop() == 0);
  REQUIRE(system.Ctl({"sensor", "kill", "e2e", pid, "--request-id", "away"}).exit_code == 0);
  system.control_plane().Stop();
  system.StartControlPlane();
  CHECK(victim.Running());
  system.StartSensor();
  CHECK(Eventually(std::chrono::seconds(30), [&] { return !victim.Running(); }));
  // The same order again is answered with the first one, whose result is stored.
  const Result again = system.Ctl({"sensor", "kill", "e2e", pid, "--request-id", "away", "--wait"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK_THAT(again.out, Contains("gone"));
  system.Reset();
}

TEST_CASE("without its database the control plane says so, and goes on once it is back") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "contain", "e2e", "--wait"}).exit_code == 0);
  system.postgres().Kill();
  const Result refused = system.Ctl({"sensor", "release", "e2e"});
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.err, Contains("request id"));
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  CHECK(system.control_plane().Running());
  system.StartPostgres();
  REQUIRE(Eventually(std::chrono::seconds(30), [&] {
    return system.Ctl({"sensor", "release", "e2e", "--wait"}).exit_code == 0;
  }));
  CHECK(system.sandbox().Out("tcp", 4));
  CHECK_THAT(system.Ctl({"audit", "verify"}).out, Contains("intact"));
}

}  // namespace
}  // namespace bulkhead::e2e
