// The life of each control, from the operator's command to real packets and processes and back.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "e2e/require_ctl.h"
#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

using Catch::Matchers::Contains;

// What all three protocols do, in this order: tcp4 udp4 icmp4 tcp6 udp6 icmp6; '+' answered, '-' not.
std::string Outbound(const Sandbox& sandbox) {
  std::string seen;
  for (const int family : {4, 6}) {
    for (const char* kind : {"tcp", "udp", "icmp"}) seen += sandbox.Out(kind, family) ? '+' : '-';
  }
  return seen;
}

std::string LastLine(const std::string& path) {
  std::ifstream file(path);
  std::string line, last;
  while (std::getline(file, line)) last = line;
  return last;
}

// The id that an order printed after `label`.
std::string IdAfter(const std::string& text, const std::string& label) {
  const size_t at = text.find(label);
  return at == std::string::npos ? "" : text.substr(at + label.size(), 36);
}

TEST_CASE("contain cuts all that the host opens, keeps what others open, and release gives it back") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  REQUIRE(Outbound(sandbox) == "++++++");
  const std::string held = system.directory() + "/held.log";
  std::filesystem::remove(held);
  Daemon connection(sandbox.HoldConnection(), held);
  REQUIRE(Eventually(std::chrono::seconds(5), [&] { return LastLine(held) == "open"; }));

  const Result contained = REQUIRE_CTL({"sensor", "contain", "e2e", "--wait", "--reason", "e2e"});
  CHECK_THAT(contained.out, Contains("in the kernel: generation"));
  CHECK(Outbound(sandbox) == "------");
  CHECK(sandbox.In(4));
  CHECK(sandbox.In(6));
  CHECK(Eventually(std::chrono::seconds(3), [&] { return LastLine(held).rfind("cut", 0) == 0; }));
  const v1::Sensor sensor = system.GetSensor();
  CHECK(sensor.is_contained());
  CHECK(sensor.observed().contained());
  CHECK(sensor.observed().receipt().generation() == sensor.desired_generation());
  CHECK(sensor.observed().receipt().digest() == sensor.desired_digest());
  CHECK(sensor.observed().receipt().programs_size() > 0);
  CHECK(sensor.observed().receipt().complete());
  for (const v1::ProbeResult& probe : sensor.observed().receipt().probes()) {
    INFO(probe.name() << ": " << probe.detail());
    CHECK((probe.passed() || !probe.required()));
  }
  CHECK_THAT(REQUIRE_CTL({"sensor", "get", "e2e"}).out,
             Contains("probe connect_refused passed") && Contains("probe control_plane_reachable passed"));

  const Result again = REQUIRE_CTL({"sensor", "contain", "e2e"});
  CHECK_THAT(again.out, Contains("is contained already"));

  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
  CHECK(Outbound(sandbox) == "++++++");
  CHECK_THAT(REQUIRE_CTL({"sensor", "release", "e2e"}).out, Contains("nothing to lift"));
}

TEST_CASE("a shadow counts, lists what would be cut, and cuts nothing") {
  System& system = System::Get();
  system.Reset();
  REQUIRE_CTL({"sensor", "contain", "e2e", "--shadow", "--wait"});
  CHECK(Outbound(system.sandbox()) == "++++++");
  CHECK(Eventually(std::chrono::seconds(10), [&] {
    const v1::Sensor sensor = system.GetSensor();
    return sensor.observed().policies_size() == 1 && sensor.observed().policies(0).hits() > 0 &&
           sensor.observed().policies(0).would_cut_size() > 0;
  }));
  const Result shown = REQUIRE_CTL({"sensor", "get", "e2e"});
  CHECK_THAT(shown.out, Contains("would be cut") && Contains(system.sandbox().peer4()));
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
}

TEST_CASE("isolation cuts both directions, and rules change it while it is in force") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  REQUIRE_CTL({"sensor", "isolate", "e2e", "--wait"});
  CHECK(Outbound(sandbox) == "------");
  CHECK_FALSE(sandbox.In(4));
  CHECK_FALSE(sandbox.In(6));

  const Result added = REQUIRE_CTL({"isolation-rule", "add", "--direction", "outbound", "--address", sandbox.peer4(),
                                    "--ports", std::to_string(sandbox.peer_port()), "--protocol", "tcp", "--wait"});
  const std::string rule = IdAfter(added.out, "rule:   ");
  CHECK(Outbound(sandbox) == "+-----");
  CHECK_FALSE(sandbox.In(4));
  const Result in = REQUIRE_CTL({"isolation-rule", "add", "--direction", "inbound", "--protocol", "tcp", "--wait"});
  CHECK(sandbox.In(4));
  CHECK(sandbox.In(6));
  CHECK(Outbound(sandbox) == "+-----");
  CHECK_THAT(REQUIRE_CTL({"isolation-rule", "list"}).out, Contains(rule));

  REQUIRE_CTL({"isolation-rule", "delete", rule, "--wait"});
  REQUIRE_CTL({"isolation-rule", "delete", IdAfter(in.out, "rule:   "), "--wait"});
  CHECK(Outbound(sandbox) == "------");
  CHECK_FALSE(sandbox.In(4));
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
  CHECK(Outbound(sandbox) == "++++++");
  CHECK(sandbox.In(4));
}

TEST_CASE("deleting the policy of a containment releases it") {
  System& system = System::Get();
  system.Reset();
  const Result contained = REQUIRE_CTL({"sensor", "contain", "e2e", "--wait"});
  CHECK_FALSE(system.sandbox().Out("tcp", 4));
  const std::string policy = IdAfter(contained.out, "network-containment ");
  CHECK_THAT(REQUIRE_CTL({"policy", "list", "--sensor", "e2e"}).out, Contains(policy));
  REQUIRE_CTL({"policy", "delete", policy, "--wait"});
  CHECK(system.sandbox().Out("tcp", 4));
  CHECK_FALSE(system.GetSensor().is_contained());
}

TEST_CASE("a blocked binary dies before it runs, under every name of the file, until the policy is deleted") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const std::string tool = system.directory() + "/tool";
  const std::string other_name = system.directory() + "/other";
  // Another content than /bin/true has, which would be blocked with it.
  std::filesystem::copy_file("/bin/true", tool, std::filesystem::copy_options::overwrite_existing);
  std::ofstream(tool, std::ios::app) << "of this test";
  const std::string copy = system.directory() + "/copy";
  std::filesystem::copy_file(tool, copy, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::remove(other_name);
  std::filesystem::create_hard_link(tool, other_name);
  REQUIRE(sandbox.Execute(tool) == "open");

  const Result blocked = REQUIRE_CTL({"sensor", "block-binary", "e2e", tool, "--wait"});
  CHECK_THAT(blocked.out, Contains("bulkhead-block-binary-"));
  CHECK(sandbox.Execute(tool) == "cut SIGKILL");
  CHECK(sandbox.Execute(other_name) == "cut SIGKILL");
  CHECK(sandbox.Execute(copy) == "cut SIGKILL");
  CHECK(sandbox.Execute("/bin/true") == "open");
  CHECK(sandbox.Out("tcp", 4));
  CHECK_THAT(REQUIRE_CTL({"sensor", "block-binary", "e2e", tool}).out, Contains("is blocked already"));

  REQUIRE_CTL({"policy", "delete", blocked.out.substr(blocked.out.find("policy delete ") + 14, 36), "--wait"});
  CHECK(sandbox.Execute(tool) == "open");
}

TEST_CASE("a block that the host refuses is named, and no later order waits for it") {
  System& system = System::Get();
  system.Reset();
  // The control plane knows the usual paths; that this is a shell only the host can tell.
  const std::string link = system.directory() + "/harmless";
  std::filesystem::remove(link);
  std::filesystem::create_symlink("/bin/sh", link);
  const Result refused = system.Ctl({"sensor", "block-binary", "e2e", link, "--wait"});
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, Contains("refused this policy") && Contains("is a shell"));
  CHECK(system.GetSensor().convergence() == v1::CONVERGENCE_STATE_PARTIAL);
  REQUIRE_CTL({"sensor", "contain", "e2e", "--wait"});
  CHECK(Outbound(system.sandbox()) == "------");
  CHECK_THAT(REQUIRE_CTL({"sensor", "get", "e2e"}).out, Contains("REFUSED by the sensor"));
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
  REQUIRE_CTL({"policy", "delete", system.GetSensor().enforcement_policies(0).id(), "--wait"});
  CHECK(system.GetSensor().convergence() == v1::CONVERGENCE_STATE_SYNCED);
}

TEST_CASE("a kill ends the process that was meant and no other, and has a stored result") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const std::string log = system.directory() + "/victim.log";
  Daemon victim(sandbox.Inside({"sleep", "600"}), log);
  Daemon bystander({"sleep", "600"}, log);
  REQUIRE(Eventually(std::chrono::seconds(5), [&] {
    return std::filesystem::read_symlink("/proc/" + std::to_string(victim.pid()) + "/exe").filename() == "sleep";
  }));
  const std::string pid = std::to_string(victim.pid());

  const Result wrong_start = system.Ctl({"sensor", "kill", "e2e", pid, "--start-time", "1", "--wait"});
  CHECK(wrong_start.exit_code == 3);
  CHECK_THAT(wrong_start.err, Contains("not-the-same-process"));
  const Result wrong_exe = system.Ctl({"sensor", "kill", "e2e", pid, "--exe", "/bin/nothing", "--wait"});
  CHECK(wrong_exe.exit_code == 3);
  CHECK(victim.Running());
  const Result outside = system.Ctl({"sensor", "kill", "e2e", std::to_string(bystander.pid()), "--wait"});
  CHECK(outside.exit_code == 3);
  CHECK_THAT(outside.err, Contains("refused"));
  CHECK(bystander.Running());

  const Result killed = REQUIRE_CTL({"sensor", "kill", "e2e", pid, "--wait"});
  CHECK_THAT(killed.out, Contains("gone"));
  CHECK_FALSE(victim.Running());
  const std::string command = killed.out.substr(killed.out.find("command") + 14, 36);
  CHECK_THAT(REQUIRE_CTL({"command", "get", command}).out, Contains("succeeded"));
}

TEST_CASE("a kill of several ends a tree, those that run a file, and a cgroup, and names who was left alone") {
  System& system = System::Get();
  Sandbox& sandbox = system.sandbox();
  system.Reset();
  const std::string log = system.directory() + "/family.log";
  const auto runs = [](const std::string& pattern) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::error_code error;
      const std::string exe = std::filesystem::read_symlink(entry.path() / "exe", error).string();
      if (!error && exe.rfind(pattern, 0) == 0) ++count;
    }
    return count;
  };
  const auto make = [&](const std::string& name) {
    const std::string path = system.directory() + "/" + name;
    std::filesystem::copy_file("/bin/sleep", path, std::filesystem::copy_options::overwrite_existing);
    std::ofstream(path, std::ios::app) << name;
    return path;
  };
  const std::string member = make("member");
  const std::string runner = make("runner");

  Daemon root(sandbox.Inside({"sh", "-c", member + " 600 & (" + member + " 600 & wait) & wait"}), log);
  REQUIRE(Eventually(std::chrono::seconds(5), [&] { return runs(member) == 2; }));
  const Result outside = system.Ctl({"sensor", "kill", "e2e", "--tree", std::to_string(getpid()), "--wait"});
  CHECK(outside.exit_code == 3);
  CHECK_THAT(outside.err, Contains("refused"));
  const Result tree = REQUIRE_CTL({"sensor", "kill", "e2e", "--tree", std::to_string(root.pid()), "--wait"});
  CHECK_THAT(tree.out, Contains("outcome       gone") && Contains(member));
  CHECK(runs(member) == 0);
  CHECK_FALSE(root.Running());

  Daemon inside(sandbox.Inside({runner, "600"}), log);
  Daemon bystander({runner, "600"}, log);
  REQUIRE(Eventually(std::chrono::seconds(5), [&] { return runs(runner) == 2; }));
  const Result file = REQUIRE_CTL({"sensor", "kill", "e2e", "--file", runner, "--wait", "--reason", "e2e"});
  CHECK_THAT(file.out, Contains("killed        1\nleft alone    1") && Contains("outside this sensor's scope"));
  CHECK_FALSE(inside.Running());
  CHECK(bystander.Running());
  CHECK_THAT(REQUIRE_CTL({"command", "get", file.out.substr(file.out.find("command") + 14, 36)}).out,
             Contains("succeeded") && Contains("kill file     " + runner) && Contains("outside this sensor's scope"));
  CHECK_THAT(REQUIRE_CTL({"audit", "list", "--sensor", "e2e", "--limit", "5"}).out, Contains("processes_kill_ordered"));

  // A cgroup below the sensor's: the sandbox itself has services in it that other cases need.
  const std::string below = sandbox.cgroup() + "/below";
  std::filesystem::create_directory(below);
  Daemon first({"sh", "-c", "echo $$ > " + below + "/cgroup.procs; exec " + runner + " 600"}, log);
  Daemon second({"sh", "-c", "echo $$ > " + below + "/cgroup.procs; exec " + runner + " 600"}, log);
  REQUIRE(Eventually(std::chrono::seconds(5), [&] { return runs(runner) == 3; }));
  const std::string relative = "/" + std::filesystem::path(sandbox.cgroup()).filename().string() + "/below";
  const Result scope = REQUIRE_CTL({"sensor", "kill", "e2e", "--cgroup", relative, "--wait"});
  CHECK_THAT(scope.out, Contains("killed        2\nleft alone    0"));
  CHECK_FALSE(first.Running());
  CHECK_FALSE(second.Running());
  CHECK(bystander.Running());
  CHECK(Eventually(std::chrono::seconds(5), [&] {
    std::error_code error;
    return std::filesystem::remove(below, error);
  }));
}

TEST_CASE("a repeated request id is applied once, and the audit log names every order") {
  System& system = System::Get();
  system.Reset();
  REQUIRE_CTL({"sensor", "contain", "e2e", "--request-id", "e2e-once"});
  const uint64_t generation = system.GetSensor().desired_generation();
  REQUIRE_CTL({"sensor", "contain", "e2e", "--request-id", "e2e-once"});
  CHECK(system.GetSensor().desired_generation() == generation);
  const Result reused = system.Ctl({"sensor", "isolate", "e2e", "--request-id", "e2e-once"});
  CHECK(reused.exit_code == 1);
  CHECK_THAT(reused.err, Contains("REQUEST_ID_REUSED"));
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait", "--reason", "audited because"});
  const Result audit = REQUIRE_CTL({"audit", "list", "--sensor", "e2e", "--limit", "50"});
  CHECK_THAT(audit.out, Contains("sensor_contained") && Contains("sensor_released") && Contains("audited because"));
  const size_t first = audit.out.find("e2e-once");
  CHECK(first != std::string::npos);
  CHECK(audit.out.find("e2e-once", first + 1) == std::string::npos);
  CHECK_THAT(REQUIRE_CTL({"audit", "verify"}).out, Contains("intact"));
}

TEST_CASE("watch shows the state now and each change") {
  System& system = System::Get();
  system.Reset();
  const std::string log = system.directory() + "/watch.log";
  std::filesystem::remove(log);
  const auto content = [&] {
    std::ifstream file(log);
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  };
  Daemon watch({Program("bulkheadctl"), "--config", system.Identity("viewer") + "/config.yaml", "-o", "json", "sensor",
                "watch", "e2e"},
               log);
  REQUIRE(Eventually(std::chrono::seconds(10),
                     [&] { return content().find("\"isContained\":false") != std::string::npos; }));
  REQUIRE_CTL({"sensor", "contain", "e2e", "--wait"});
  CHECK(Eventually(std::chrono::seconds(10),
                   [&] { return content().find("\"isContained\":true") != std::string::npos; }));
  REQUIRE_CTL({"sensor", "release", "e2e", "--wait"});
}

}  // namespace
}  // namespace bulkhead::e2e
