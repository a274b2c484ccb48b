// Orders for parts of a host, from the operator's command to real packets and back.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <stdexcept>

#include "e2e/require_ctl.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

// A cgroup below the one that the sensor was started for.
class Part {
 public:
  Part(const Sandbox& sandbox, const std::string& name)
      : path_(sandbox.cgroup() + "/" + name),
        relative_("/" + std::filesystem::path(sandbox.cgroup()).filename().string() + "/" + name) {
    if (mkdir(path_.c_str(), 0755) != 0) throw std::runtime_error("cannot make " + path_);
  }
  ~Part() {
    Eventually(std::chrono::seconds(5), [this] { return rmdir(path_.c_str()) == 0; });
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  const std::string& path() const { return path_; }
  const std::string& relative() const { return relative_; }  // as an order names it

 private:
  std::string path_;
  std::string relative_;
};

TEST_CASE("a unit is contained and a cgroup isolated at once, while the rest of the host is free") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const std::string name = "bulkhead-e2e-" + std::to_string(getpid()) + ".service";
  const Part unit(sandbox, name), cgroup(sandbox, "isolated"), free(sandbox, "free");
  const auto out = [&](const Part& part) { return sandbox.Out("tcp", 4, part.path()); };
  REQUIRE((out(unit) && out(cgroup) && out(free)));

  const Result contained = REQUIRE_CTL({"sensor", "contain", "e2e", "--unit", name, "--wait"});
  CHECK_THAT(contained.out, Contains("network-containment-" + name));
  REQUIRE_CTL({"sensor", "isolate", "e2e", "--cgroup", cgroup.relative(), "--wait"});
  CHECK_FALSE(out(unit));
  CHECK_FALSE(out(cgroup));
  CHECK(out(free));
  CHECK(sandbox.Out("tcp", 4));
  CHECK(sandbox.In(4));
  CHECK_THAT(REQUIRE_CTL({"sensor", "contain", "e2e", "--unit", name}).out, Contains("is contained already"));

  const v1::Sensor sensor = system.GetSensor();
  CHECK_FALSE(sensor.is_contained());
  CHECK_FALSE(sensor.is_isolated());
  REQUIRE(sensor.observed().policies_size() == 2);
  for (const v1::ObservedPolicy& policy : sensor.observed().policies()) {
    CHECK((policy.scope_cgroup() == unit.relative() || policy.scope_cgroup() == cgroup.relative()));
  }
  for (const v1::ProbeResult& probe : sensor.observed().receipt().probes()) {
    INFO(probe.name() << ": " << probe.detail());
    CHECK((probe.passed() || !probe.required()));
  }
  CHECK_THAT(REQUIRE_CTL({"sensor", "get", "e2e"}).out,
             Contains("probe connect_refused passed: in " + unit.relative()) && Contains("of unit:" + name));
  CHECK_THAT(REQUIRE_CTL({"policy", "list", "--sensor", "e2e"}).out, Contains("cgroup:" + cgroup.relative()));

  // What was ordered for scopes is not what is lifted without one, and the other way round.
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
  CHECK_FALSE(out(unit));
  REQUIRE_CTL({"sensor", "release", "e2e", "--unit", name, "--wait"});
  CHECK(out(unit));
  CHECK_FALSE(out(cgroup));
  const std::string policy = system.GetSensor().enforcement_policies(0).id();
  REQUIRE_CTL({"policy", "delete", policy, "--wait"});
  CHECK(out(cgroup));
}

TEST_CASE("an order for a unit that is not there waits for it, and follows it through a restart") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const std::string name = "bulkhead-e2e-later-" + std::to_string(getpid()) + ".service";
  REQUIRE_CTL({"sensor", "isolate", "e2e", "--unit", name, "--wait"});
  CHECK_THAT(REQUIRE_CTL({"sensor", "get", "e2e"}).out, Contains("waits, there is no unit " + name));
  for (int start = 0; start < 2; ++start) {
    const Part unit(sandbox, name);
    CHECK(Eventually(std::chrono::seconds(5), [&] { return !sandbox.Out("tcp", 4, unit.path()); }));
    CHECK(Eventually(std::chrono::seconds(10), [&] {
      const v1::Sensor sensor = system.GetSensor();
      return sensor.observed().policies_size() == 1 && sensor.observed().policies(0).scope_cgroup() == unit.relative();
    }));
    CHECK(sandbox.Out("tcp", 4));
  }
  REQUIRE_CTL({"sensor", "release", "e2e", "--unit", name, "--wait"});
}

TEST_CASE("a scope that is no part of what the sensor was started for is refused, and what is in force stays") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const Part part(sandbox, "part");
  REQUIRE_CTL({"sensor", "contain", "e2e", "--cgroup", part.relative(), "--wait"});
  const Result outside = system.Ctl({"sensor", "isolate", "e2e", "--cgroup", "/elsewhere", "--wait"});
  CHECK(outside.exit_code == 3);
  CHECK_THAT(outside.err, Contains("/elsewhere is outside of"));
  CHECK_FALSE(sandbox.Out("tcp", 4, part.path()));
  const Result malformed = system.Ctl({"sensor", "isolate", "e2e", "--container", "web"});
  CHECK(malformed.exit_code == 1);
  CHECK_THAT(malformed.err, Contains("scope.container"));
  REQUIRE_CTL({"sensor", "release", "e2e", "--cgroup", "/elsewhere"});
  REQUIRE_CTL({"sensor", "release", "e2e", "--cgroup", part.relative(), "--wait"});
  CHECK(sandbox.Out("tcp", 4, part.path()));
}

}  // namespace
}  // namespace bulkhead::e2e
