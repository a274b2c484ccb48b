// From the start of the sensor to the first datagram that it refuses, and what it costs when nothing happens.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/net_lab.h"
#include "bench/rounds.h"
#include "harness/packet.h"
#include "harness/temp_dir.h"

namespace bulkhead::bench {
namespace {

constexpr int kStarts = 10;
constexpr auto kStartLimit = std::chrono::seconds(20);
constexpr auto kIdle = std::chrono::seconds(60);

double NowSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A sensor without a control plane that isolates the lab's cgroup.
class RunningSensor {
 public:
  RunningSensor(const NetLab& lab, const std::string& directory) : scope_(lab.cgroup().path()), directory_(directory) {
    std::ofstream(directory_ + "/policy.yaml")
        << "enforcement_policies:\n  - template: POLICY_TEMPLATE_NETWORK_ISOLATION\n";
    pid_ = Start({"run", "--policy-file", directory_ + "/policy.yaml", "--log-level", "error"});
  }
  ~RunningSensor() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    waitpid(Start({"uninstall", "--force"}), nullptr, 0);
  }
  RunningSensor(const RunningSensor&) = delete;
  RunningSensor& operator=(const RunningSensor&) = delete;

  // User and system time, in seconds.
  double CpuSeconds() const {
    std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
    std::string word;
    long ticks = 0;
    for (int i = 1; i <= 15 && stat >> word; ++i) {
      if (i >= 14) ticks += std::stol(word);
    }
    return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

  long ResidentKib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    std::string word;
    while (status >> word) {
      long kib = 0;
      if (word == "VmRSS:" && status >> kib) return kib;
    }
    return 0;
  }

 private:
  pid_t Start(std::vector<std::string> arguments) const {
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "bulkhead-sensor";
    arguments.insert(arguments.begin(), program);
    for (const std::string& more : {std::string("--state"), directory_ + "/state", std::string("--scope"), scope_})
      arguments.push_back(more);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 1);
      execv(argv[0], argv.data());
      _exit(127);
    }
    return pid;
  }

  const std::string scope_, directory_;
  pid_t pid_ = -1;
};

// Seconds on the steady clock when a process in the lab's cgroup was refused first; 0: never.
double WhenRefused(const NetLab& lab) {
  return lab.InHost(1, [](int result) {
    const test::Address peer = test::At(test::kPeer4, kForbiddenPort);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    double refused = 0;
    const auto until = std::chrono::steady_clock::now() + kStartLimit;
    while (refused == 0 && std::chrono::steady_clock::now() < until) {
      if (sendto(fd, "b", 1, MSG_DONTWAIT, peer.get(), peer.size) < 0 && errno == EPERM) refused = NowSeconds();
      usleep(200);
    }
    return write(result, &refused, sizeof(refused)) == sizeof(refused);
  })[0];
}

TEST_CASE("start of the sensor") {
  std::vector<double> millis;
  for (int i = 0; i < kStarts; ++i) {
    const NetLab lab;
    const test::TempDir directory;
    const double began = NowSeconds();
    const RunningSensor sensor(lab, directory.path());
    const double refused = WhenRefused(lab);
    REQUIRE(refused > 0);
    millis.push_back((refused - began) * 1e3);
  }
  std::sort(millis.begin(), millis.end());
  printf("start to first refused datagram: %.0f ms (%.0f to %.0f), n=%d\n", Median(millis), millis.front(),
         millis.back(), kStarts);
}

TEST_CASE("an idle sensor") {
  const NetLab lab;
  const test::TempDir directory;
  const RunningSensor sensor(lab, directory.path());
  REQUIRE(WhenRefused(lab) > 0);
  std::this_thread::sleep_for(std::chrono::seconds(5));  // it makes the slot for the next rule set ready
  const double before = sensor.CpuSeconds();
  std::this_thread::sleep_for(kIdle);
  printf("idle: %.2f %% of a processor over a minute, %.1f MiB resident\n",
         (sensor.CpuSeconds() - before) / std::chrono::duration<double>(kIdle).count() * 100,
         static_cast<double>(sensor.ResidentKib()) / 1024);
}

}  // namespace
}  // namespace bulkhead::bench
