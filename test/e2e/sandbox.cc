// A cgroup to be contained, and somebody to talk to: a network namespace behind a veth pair.
#include "e2e/sandbox.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace bulkhead::e2e {
namespace {

void MustRun(const Arguments& command) {
  const Result result = Run(command);
  if (result.exit_code == 0) return;
  std::string words;
  for (const std::string& word : command) words += word + " ";
  throw std::runtime_error(words + "failed: " + result.err);
}

std::string Cgroup2Root() {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    std::string skipped, mount_point;
    words >> skipped >> skipped >> skipped >> skipped >> mount_point;
    if (line.find(" - cgroup2 ") != std::string::npos) return mount_point;
  }
  throw std::runtime_error("no cgroup v2 hierarchy is mounted");
}

}  // namespace

std::string Program(const std::string& name) {
  return std::string(BULKHEAD_BIN_DIRECTORY) + "/" + name;
}

Sandbox::Sandbox(const std::string& directory) {
  const int id = getpid();
  const std::string suffix = std::to_string(id);
  cgroup_ = Cgroup2Root() + "/bulkhead-e2e-" + suffix;
  name_space_ = "bulkhead-e2e-" + suffix;
  link_ = "be" + suffix;
  // 198.19.0.0/16 is set aside for tests (RFC 2544); two test programs get two subnets.
  const std::string subnet4 = "198.19." + std::to_string(id % 256);
  char subnet6[32];
  snprintf(subnet6, sizeof(subnet6), "fd42:e2e:%x::", id % 65536);
  host4_ = subnet4 + ".1";
  peer4_ = subnet4 + ".2";
  host6_ = std::string(subnet6) + "1";
  peer6_ = std::string(subnet6) + "2";
  if (mkdir(cgroup_.c_str(), 0755) != 0) throw std::runtime_error("cannot make " + cgroup_);
  try {
    MustRun({"ip", "netns", "add", name_space_});
    MustRun({"ip", "link", "add", link_ + "h", "type", "veth", "peer", "name", link_ + "p", "netns", name_space_});
    MustRun({"ip", "address", "add", host4_ + "/30", "dev", link_ + "h"});
    MustRun({"ip", "address", "add", host6_ + "/64", "dev", link_ + "h", "nodad"});
    MustRun({"ip", "link", "set", link_ + "h", "up"});
    MustRun(Peer({"ip", "address", "add", peer4_ + "/30", "dev", link_ + "p"}));
    MustRun(Peer({"ip", "address", "add", peer6_ + "/64", "dev", link_ + "p", "nodad"}));
    MustRun(Peer({"ip", "link", "set", link_ + "p", "up"}));
    const std::string log = directory + "/sandbox.log";
    peer_service_ =
        std::make_unique<Daemon>(Peer({Program("bulkhead-tour-probe"), "serve", std::to_string(kPeerPort)}), log);
    service_ = std::make_unique<Daemon>(
        Arguments{Program("bulkhead-tour-probe"), "--cgroup", cgroup_, "serve", std::to_string(kServicePort)}, log);
    const auto ready = [this] { return Out("tcp", 4) && Out("tcp", 6) && In(4) && In(6); };
    if (!Eventually(std::chrono::seconds(10), ready)) throw std::runtime_error("the sandbox's services do not answer");
  } catch (...) {
    Remove();
    throw;
  }
}

Sandbox::~Sandbox() {
  Remove();
}

void Sandbox::Remove() {
  service_.reset();
  peer_service_.reset();
  // Only processes that the test itself put there can be in it.
  Eventually(std::chrono::seconds(5), [this] {
    std::ifstream processes(cgroup_ + "/cgroup.procs");
    pid_t pid = 0;
    while (processes >> pid) kill(pid, SIGKILL);
    return rmdir(cgroup_.c_str()) == 0;
  });
  Run({"ip", "link", "delete", link_ + "h"});
  Run({"ip", "netns", "delete", name_space_});
}

Arguments Sandbox::Peer(const Arguments& command) const {
  Arguments whole = {"ip", "netns", "exec", name_space_};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

bool Sandbox::Out(const std::string& kind, int family, const std::string& cgroup) const {
  const std::string& address = family == 4 ? peer4_ : peer6_;
  return Run({Program("bulkhead-tour-probe"), "--cgroup", cgroup.empty() ? cgroup_ : cgroup, "try", kind, address,
              std::to_string(kPeerPort)})
             .exit_code == 0;
}

bool Sandbox::In(int family) const {
  const std::string& address = family == 4 ? host4_ : host6_;
  return Run(Peer({Program("bulkhead-tour-probe"), "try", "tcp", address, std::to_string(kServicePort)})).exit_code ==
         0;
}

std::string Sandbox::Execute(const std::string& path) const {
  std::istringstream words(Run({Program("bulkhead-tour-probe"), "--cgroup", cgroup_, "try", "exec", path}).out);
  std::string state, millis, why;
  words >> state >> millis >> why;
  return why.empty() ? state : state + " " + why;
}

Arguments Sandbox::Inside(const Arguments& command) const {
  Arguments whole = {"/bin/sh", "-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"", cgroup_};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

Arguments Sandbox::HoldConnection() const {
  return {Program("bulkhead-tour-probe"), "--cgroup", cgroup_, "hold", peer4_, std::to_string(kPeerPort)};
}

}  // namespace bulkhead::e2e
