// Root against the tamper guard, host-wide.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>

#include "test/guard/attacks.h"
#include "test/guard/rule_set_fixture.h"
#include "test/guard/stand_in.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSlice[] = "/sys/fs/cgroup/guard-slice";
constexpr char kHome[] = "/sys/fs/cgroup/guard-slice/sensor";
constexpr char kTree[] = "/var/lib/guard-test";

// 0 when the call worked, else its errno.
int ErrnoOf(const std::function<int()>& call) {
  return call() == 0 ? 0 : errno;
}

bool IsRefusal(int error) {
  return error == EPERM || error == EACCES;
}

// A host with a guarded stand-in for the sensor.
class GuardedHost {
 public:
  GuardedHost() {
    std::filesystem::create_directories(kHome);
    std::filesystem::create_directories(kTree);
    std::ofstream(std::string(kTree) + "/state") << "state";
    sensor_ = std::make_unique<StandIn>(kHome, rules_.directory(), kTree);
    REQUIRE(Say("open") == "ok");
    REQUIRE(Say("up") == "down");
    REQUIRE(Say("enable") == "ok");
    REQUIRE(Say("up") == "up");
  }

  ~GuardedHost() {
    if (sensor_ == nullptr) return;
    Say("disable");
    Say("exit");
    sensor_->Wait();
    sensor_.reset();
    rmdir("/sys/fs/cgroup/guard-attack");
    rmdir(kHome);
    rmdir(kSlice);
    std::filesystem::remove_all(kTree);
  }

  std::string Say(const std::string& word) { return sensor_->Say(word); }
  StandIn& sensor() { return *sensor_; }
  void Replace(std::unique_ptr<StandIn> sensor) { sensor_ = std::move(sensor); }
  const std::string& pins() const { return rules_.directory(); }

  Target target() const {
    return {sensor_->pid(),     kHome, rules_.directory(),
            rules_.directory(), kTree, std::filesystem::canonical("/proc/self/exe").string()};
  }

  void CheckAllRefused(const std::vector<Attack>& attacks, bool behind_wall) {
    for (const Attack& attack : attacks) {
      if (attack.only_behind_wall && !behind_wall) continue;
      INFO(attack.name);
      const int error = attack.run(target());
      INFO("answered " << std::strerror(error));
      CHECK(IsRefusal(error));
      REQUIRE(Say("up") == "up");
    }
  }

 private:
  RuleSetFixture rules_;
  std::unique_ptr<StandIn> sensor_;
};

}  // namespace

TEST_CASE("guard: the sensor cannot be signalled, traced, limited, frozen or moved to its death") {
  GuardedHost host;
  host.CheckAllRefused(ProcessAttacks(), false);
}

TEST_CASE("guard: its files, pins and mounts stay") {
  GuardedHost host;
  host.CheckAllRefused(FileAttacks(), false);
}

TEST_CASE("guard: its BPF objects are out of reach") {
  GuardedHost host;
  host.CheckAllRefused(ObjectAttacks(), false);
}

TEST_CASE("guard: behind a wall the kernel is closed, without one it is not") {
  GuardedHost host;
  host.CheckAllRefused(KernelAttacks(), false);
  REQUIRE(host.Say("publish-wall") == "ok");
  host.CheckAllRefused(KernelAttacks(), true);
  host.CheckAllRefused(ObjectAttacks(), true);
  REQUIRE(host.Say("publish-none") == "ok");
  for (const auto& attacks : {ObjectAttacks(), KernelAttacks()}) {
    for (const Attack& attack : attacks) {
      INFO(attack.name);
      if (attack.only_behind_wall) CHECK_FALSE(IsRefusal(attack.run(host.target())));
    }
  }
}

TEST_CASE("guard: the sensor itself still can") {
  GuardedHost host;
  CHECK(host.Say("state") == "ok");
  CHECK(host.Say("publish-wall") == "ok");
  CHECK(host.Say("maintain") == "ok");
  CHECK(host.Say("prove") == "ok");
}

TEST_CASE("guard: a sensor that was moved goes home") {
  GuardedHost host;
  const std::string elsewhere = "/sys/fs/cgroup/guard-attack";
  mkdir(elsewhere.c_str(), 0755);
  std::ofstream(elsewhere + "/cgroup.procs") << host.target().pid;
  CHECK(host.Say("maintain").find("it is back in /guard-slice/sensor") != std::string::npos);
  CHECK(host.Say("maintain") == "ok");
}

TEST_CASE("guard: code that was not trusted does not get into the sensor") {
  GuardedHost host;
  CHECK(host.Say("map-foreign") == "Operation not permitted");
  CHECK(host.Say("counters").find("guard_denied_foreign_code=1") != std::string::npos);
}

TEST_CASE("guard: lowered, everything is possible; afterwards nothing again") {
  GuardedHost host;
  REQUIRE(host.Say("lower") == "ok");
  CHECK(host.Say("up") == "down");
  CHECK(chmod((std::string(kTree) + "/state").c_str(), 0600) == 0);
  CHECK(host.Say("raise") == "ok");
  CHECK(host.Say("up") == "up");
  CHECK(chmod((std::string(kTree) + "/state").c_str(), 0600) == -1);
}

TEST_CASE("guard: after a crash everything stays guarded, and process 1 can start the sensor again") {
  GuardedHost host;
  host.Say("exit");
  host.sensor().Wait();
  CHECK(IsRefusal(ErrnoOf([&] { return unlink((host.pins() + "/bh_guard").c_str()); })));
  CHECK(IsRefusal(ErrnoOf([&] { return rmdir(kHome); })));
  StandIn uninvited(kHome, host.pins(), kTree);  // cannot enter the cgroup
  CHECK(uninvited.Say("open").find("PERMISSION_DENIED") == 0);

  auto again = std::make_unique<StandIn>(kHome, host.pins(), kTree, StandIn::kByInit);
  CHECK(again->Say("open") == "ok");
  CHECK(again->Say("up") == "up");
  CHECK(again->Say("state") == "ok");
  host.Replace(std::move(again));
  CHECK(IsRefusal(ErrnoOf([&] { return kill(host.target().pid, SIGKILL); })));
}

TEST_CASE("guard: a sensor that starts with foreign code inside is not the sensor") {
  GuardedHost host;
  host.Say("exit");
  host.sensor().Wait();
  std::filesystem::copy_file("/usr/lib/x86_64-linux-gnu/libm.so.6", "/root/foreign.so");
  StandIn infected(kHome, host.pins(), kTree, StandIn::kByInit,
                   "LD_PRELOAD=/root/foreign.so ASAN_OPTIONS=verify_asan_link_order=0");
  CHECK(infected.Say("open").find("PERMISSION_DENIED") == 0);
  auto again = std::make_unique<StandIn>(kHome, host.pins(), kTree, StandIn::kByInit);
  CHECK(again->Say("open") == "ok");
  host.Replace(std::move(again));
}

TEST_CASE("guard: the same program elsewhere is not the sensor") {
  GuardedHost host;
  StandIn impostor("/sys/fs/cgroup", host.pins(), kTree);
  CHECK(impostor.Say("open").find("PERMISSION_DENIED") == 0);
  CHECK(impostor.Say("state") != "ok");
}

TEST_CASE("guard: a mount namespace of one's own does not help, and is not disturbed") {
  GuardedHost host;
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(1);
    // A container may cover what it likes for itself.
    if (mount("x", "/usr/local", "tmpfs", 0, nullptr) != 0) _exit(2);
    _exit(std::ofstream(std::string(kTree) + "/state").is_open() ? 3 : 0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace bulkhead::sensor
