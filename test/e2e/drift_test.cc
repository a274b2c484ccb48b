// What root changes in the kernel, with tools that every host has, is put back and told within a second.
#include <catch2/catch.hpp>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Clock = std::chrono::steady_clock;

// What is promised is a second; a busy machine gets another one.
constexpr auto kLimit = std::chrono::milliseconds(2000);

// Where the sensor of this scope pinned its programs and maps.
std::string PinsOf(const Sandbox& sandbox) {
  std::string wanted = std::filesystem::path(sandbox.cgroup()).filename().string();
  for (char& c : wanted) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  for (const auto& scope : std::filesystem::directory_iterator("/sys/fs/bpf/bulkhead")) {
    if (scope.path().filename().string().find(wanted) == std::string::npos) continue;
    for (const auto& layout : std::filesystem::directory_iterator(scope)) {
      if (layout.path().filename().string().rfind("abi", 0) == 0) return layout.path().string();
    }
  }
  throw std::runtime_error("the sensor has pinned nothing for " + sandbox.cgroup());
}

// The control plane logs each event when it comes. Returns how many told of repairs, and the last one.
std::pair<int, std::string> RepairsTold(const System& system) {
  std::ifstream log(system.directory() + "/control_plane.log");
  std::pair<int, std::string> told;
  std::string line;
  while (std::getline(log, line)) {
    if (line.find("EVENT_KIND_DRIFT_REPAIRED") == std::string::npos) continue;
    ++told.first;
    told.second = line;
  }
  return told;
}

// Milliseconds from the end of the change until the control plane has been told that it was put back.
long long TimeToRepair(const System& system, const Arguments& change) {
  const int before = RepairsTold(system).first;
  const Result changed = Run(change);
  INFO(changed.err << changed.out);
  REQUIRE(changed.exit_code == 0);
  const auto start = Clock::now();
  while (RepairsTold(system).first == before && Clock::now() - start < std::chrono::seconds(20)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

struct Change {
  const char* what;
  Arguments command;
  const char* told;  // in the event
};

std::vector<Change> Changes(const std::string& pins) {
  const Arguments key = {"key", "0", "0", "0", "0"};
  const auto update = [&](const std::string& map, Arguments value) {
    Arguments whole = {"bpftool", "map", "update", "pinned", pins + "/" + map};
    whole.insert(whole.end(), key.begin(), key.end());
    whole.insert(whole.end(), value.begin(), value.end());
    return whole;
  };
  return {
      {"the wall's link is detached",
       {"bpftool", "link", "detach", "pinned", pins + "/link_bh_egress"},
       "attached again"},
      {"the first line's link is detached",
       {"bpftool", "link", "detach", "pinned", pins + "/link_bh_connect4"},
       "attached again"},
      {"a link's pin is removed", {"rm", pins + "/link_bh_ingress"}, "pinned again"},
      {"a map's pin is removed", {"rm", pins + "/bh_config"}, "pinned again"},
      {"the rule set is switched off", update("bh_active", {"value", "0", "0", "0", "0"}), "switched back"},
      {"a rule set is taken away",
       {"/bin/sh", "-c",
        "for slot in 0 1; do bpftool map delete pinned " + pins + "/bh_config key $slot 0 0 0; done; true"},
       "put back"},
  };
}

}  // namespace

TEST_CASE("what root changes in the kernel is put back and told within a second") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "isolate", "e2e", "--wait"}).exit_code == 0);
  const std::string pins = PinsOf(system.sandbox());
  for (const Change& change : Changes(pins)) {
    INFO(change.what);
    const long long millis = TimeToRepair(system, change.command);
    std::cout << change.what << ": put back and told after " << millis << " ms\n";
    CHECK(millis < kLimit.count());
    CHECK_THAT(RepairsTold(system).second, Catch::Matchers::Contains(change.told));
    CHECK_FALSE(system.sandbox().Out("udp", 4));
    CHECK_FALSE(system.sandbox().Out("tcp", 6));
    CHECK_FALSE(system.sandbox().In(4));
  }
  system.Reset();
}

TEST_CASE("while one layer is missing the others hold") {
  System& system = System::Get();
  system.Reset();
  REQUIRE(system.Ctl({"sensor", "isolate", "e2e", "--wait"}).exit_code == 0);
  const std::string pins = PinsOf(system.sandbox());
  // The sensor is dead: nobody repairs, so that there is time to look.
  system.sensor().Kill();
  SECTION("without the wall's outbound half nothing new is opened, and no answer comes in") {
    REQUIRE(Run({"bpftool", "link", "detach", "pinned", pins + "/link_bh_egress"}).exit_code == 0);
    for (const char* kind : {"tcp", "udp", "icmp"}) CHECK_FALSE(system.sandbox().Out(kind, 4));
    CHECK_FALSE(system.sandbox().In(6));
  }
  SECTION("without the first line the wall drops what is opened") {
    REQUIRE(Run({"bpftool", "link", "detach", "pinned", pins + "/link_bh_connect4"}).exit_code == 0);
    CHECK_FALSE(system.sandbox().Out("tcp", 4));
  }
  SECTION("a rule set that is gone is a closed wall") {
    REQUIRE(Run({"/bin/sh", "-c",
                 "for slot in 0 1; do bpftool map delete pinned " + pins + "/bh_config key $slot 0 0 0; done; true"})
                .exit_code == 0);
    for (const char* kind : {"tcp", "udp", "icmp"}) CHECK_FALSE(system.sandbox().Out(kind, 4));
  }
  system.StartSensor();
  system.Reset();
  CHECK(system.sandbox().Out("tcp", 4));
}

}  // namespace bulkhead::e2e
