// An allow-list from learning to enforcement, as an operator does it: from the command line to a process that does not
// start.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "e2e/system.h"

namespace bulkhead::e2e {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

// A cgroup below the sensor's scope, and a directory with two programs that end with 0 at once.
class Service {
 public:
  explicit Service(const Sandbox& sandbox)
      : cgroup_(sandbox.cgroup() + "/service"),
        relative_("/" + fs::path(sandbox.cgroup()).filename().string() + "/service"),
        directory_(fs::temp_directory_path() / ("bulkhead-e2e-list-" + std::to_string(getpid()))) {
    fs::create_directory(cgroup_);
    fs::create_directory(directory_);
    for (const char* name : {"listed", "unlisted"}) {
      fs::copy_file(fs::canonical("/bin/true"), Path(name));
      std::ofstream(Path(name), std::ios::app) << name;
    }
  }
  ~Service() {
    rmdir(cgroup_.c_str());
    std::error_code error;
    fs::remove_all(directory_, error);
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const std::string& relative() const { return relative_; }
  std::string Path(const std::string& name) const { return directory_ / name; }

  // Does the program run in the cgroup?
  bool Runs(const std::string& name) const {
    const std::string path = Path(name);
    const pid_t pid = fork();
    if (pid == 0) {
      const int procs = open((cgroup_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
      if (write(procs, "0", 1) != 1) _exit(1);
      execl(path.c_str(), name.c_str(), nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  std::string cgroup_;
  std::string relative_;  // as an order names it
  fs::path directory_;
};

Result Ctl(std::vector<std::string> arguments) {
  const Result result = System::Get().Ctl(std::move(arguments));
  INFO(result.err << result.out);
  REQUIRE(result.exit_code == 0);
  return result;
}

TEST_CASE("what a service ran is learned, listed and from then on all that it runs") {
  System& system = System::Get();
  system.Reset();
  const Service service(system.sandbox());
  // Kernels without the security hooks do not see libraries: the tier is PARTIAL there.
  const std::vector<std::string> order = {"sensor",           "allow-list",       "e2e",   "--cgroup",
                                          service.relative(), "--allow-degraded", "--wait"};
  const auto with = [&order](std::vector<std::string> more) {
    more.insert(more.begin(), order.begin(), order.end());
    return more;
  };
  Ctl(with({"--learn"}));
  REQUIRE(service.Runs("listed"));
  const std::string learns = system.GetSensor().enforcement_policies(0).id();
  std::string learned;
  REQUIRE(Eventually(std::chrono::seconds(60), [&] {
    learned = system.Ctl({"policy", "learned", learns}).out;
    return learned.find("  " + service.Path("listed") + "\n") != std::string::npos;
  }));
  CHECK_THAT(learned, !Contains(service.Path("unlisted")));
  std::ofstream(service.Path("list")) << learned;

  Ctl(with({"--file", service.Path("list")}));
  REQUIRE(system.GetSensor().enforcement_policies_size() == 1);  // one list for each scope
  CHECK(service.Runs("listed"));
  CHECK_FALSE(service.Runs("unlisted"));
  const v1::EnforcementPolicy policy = system.GetSensor().enforcement_policies(0);
  CHECK(policy.template_() == v1::POLICY_TEMPLATE_ALLOW_LIST);
  CHECK_THAT(Ctl({"policy", "list"}).out, Contains("listed") && Contains("cgroup:" + service.relative()));

  Ctl({"policy", "delete", policy.id(), "--wait"});
  CHECK(service.Runs("unlisted"));
}

}  // namespace
}  // namespace bulkhead::e2e
