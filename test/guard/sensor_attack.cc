// The attacks aimed at a real sensor. Not a test of its own: test/vm/guard_hostwide_test.py starts it beside the
// sensor.
#include <signal.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "test/guard/attacks.h"

namespace bulkhead::sensor {
namespace {

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Neither stopped nor gone.
bool Runs(pid_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  std::getline(stat, line);
  const size_t end = line.rfind(')');
  return end != std::string::npos && end + 2 < line.size() && std::strchr("TtZX", line[end + 2]) == nullptr;
}

}  // namespace

// TARGET_PID, TARGET_CGROUP, TARGET_PINS, TARGET_RULE_SET, TARGET_TREE, TARGET_PROGRAM as in Target; TARGET_WALL: a
// wall is up.
TEST_CASE("root against the sensor of this host", "[.against_sensor]") {
  const Target target = {std::atoi(Environment("TARGET_PID").c_str()),
                         Environment("TARGET_CGROUP"),
                         Environment("TARGET_PINS"),
                         Environment("TARGET_RULE_SET"),
                         Environment("TARGET_TREE"),
                         Environment("TARGET_PROGRAM")};
  const bool behind_wall = !Environment("TARGET_WALL").empty();
  REQUIRE(target.pid > 1);
  int tried = 0;
  for (const auto& attacks : {ProcessAttacks(), FileAttacks(), ObjectAttacks(), KernelAttacks()}) {
    for (const Attack& attack : attacks) {
      if (attack.only_behind_wall && !behind_wall) continue;
      INFO(attack.name);
      const int error = attack.run(target);
      INFO("answered " << std::strerror(error));
      CHECK((error == EPERM || error == EACCES));
      REQUIRE(Runs(target.pid));
      ++tried;
    }
  }
  CHECK(tried >= 50);
}

}  // namespace bulkhead::sensor
