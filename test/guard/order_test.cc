// An order through the datapath raises the frame wall too, and it shows in what is observed.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>

#include "absl/strings/match.h"
#include "sensor/kernel/kernel.h"

namespace bulkhead::sensor {
namespace {

constexpr char kScope[] = "/sys/fs/cgroup/frames-order";

// The errno that a process in a cgroup gets for a packet socket; 0: it got one.
int PacketSocketIn(const std::string& cgroup) {
  const pid_t child = fork();
  if (child == 0) {
    std::ofstream(cgroup + "/cgroup.procs") << "0";
    _exit(socket(AF_PACKET, SOCK_RAW, 0) < 0 ? errno : 0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

DesiredState Isolated(uint64_t generation, bool isolated) {
  DesiredState state;
  state.generation = generation;
  if (isolated) {
    Policy policy;
    policy.id = "6f2c1a4e-2f7e-4bd4-9a55-0c8f6a2f1d10";
    policy.policy_template = PolicyTemplate::kNetworkIsolation;
    state.policies.push_back(policy);
  }
  return state;
}

}  // namespace

TEST_CASE("order: isolation through the datapath refuses packet sockets inside the scope") {
  REQUIRE(mkdir(kScope, 0755) == 0);
  DatapathOptions options;
  options.scope = kScope;
  options.pin_key = "frames_order";
  auto datapath = OpenDatapath(options);
  INFO(datapath.status());
  REQUIRE(datapath.ok());
  const auto& mechanisms = (*datapath)->capabilities().mechanisms;
  CHECK(std::any_of(mechanisms.begin(), mechanisms.end(),
                    [](const Mechanism& m) { return absl::StartsWith(m.name, "frames_") && m.available; }));

  CHECK(PacketSocketIn(kScope) == 0);
  REQUIRE((*datapath)->Apply(Isolated(1, true)).ok());
  CHECK(PacketSocketIn(kScope) == EPERM);
  const auto observed = (*datapath)->Observe();
  REQUIRE(observed.ok());
  CHECK(observed->degraded.empty());
  CHECK(std::any_of(observed->counters.begin(), observed->counters.end(),
                    [](const Counter& c) { return c.name == "frames_denied_socket" && c.value == 1; }));
  REQUIRE((*datapath)->Apply(Isolated(2, false)).ok());
  CHECK(PacketSocketIn(kScope) == 0);

  datapath->reset();
  CHECK(RemoveDatapath(options).ok());
  CHECK(rmdir(kScope) == 0);
}

TEST_CASE("order: isolation of a scope refuses packet sockets there only") {
  const std::string part = std::string(kScope) + "/part";
  REQUIRE((mkdir(kScope, 0755) == 0 && mkdir(part.c_str(), 0755) == 0));
  DatapathOptions options;
  options.scope = kScope;
  options.pin_key = "frames_order";
  auto datapath = OpenDatapath(options);
  INFO(datapath.status());
  REQUIRE(datapath.ok());
  DesiredState state = Isolated(1, true);
  state.policies[0].scope = PolicyScope{PolicyScope::Kind::kCgroup, "/frames-order/part"};
  REQUIRE((*datapath)->Apply(state).ok());
  CHECK(PacketSocketIn(part) == EPERM);
  CHECK(PacketSocketIn(kScope) == 0);
  const auto observed = (*datapath)->Observe();
  REQUIRE(observed.ok());
  REQUIRE(observed->policies.size() == 1);
  CHECK(observed->policies[0].hits == 1);
  datapath->reset();
  CHECK(RemoveDatapath(options).ok());
  CHECK(rmdir(part.c_str()) == 0);
  CHECK(rmdir(kScope) == 0);
}

}  // namespace bulkhead::sensor
