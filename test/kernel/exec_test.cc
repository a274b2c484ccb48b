// Blocked binaries: by path, by identity under other names, after replacement, from threads.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "harness/temp_dir.h"
#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

bool Killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool Succeeded(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
bool Refused(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 126;
}

// Copies of a program that ends with 0 at once.
class ExecFixture : public CgroupFixture {
 public:
  ExecFixture() {
    Copy("victim");
    Copy("other");
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  void Copy(const std::string& name) const {
    fs::copy_file(fs::exists("/bin/true") ? "/bin/true" : "/usr/bin/true", Path(name));
    fs::permissions(Path(name), fs::perms(0755));
  }

  int Run(const std::string& path) const { return cgroup().Execute(path, {"true"}); }

 private:
  test::TempDir directory_;
};

TEST_CASE_METHOD(ExecFixture, "a blocked binary is killed under every name", "[exec]") {
  CHECK(Succeeded(Run(Path("victim"))));
  Apply({Block(Path("victim"))});
  CHECK(Killed(Run(Path("victim"))));
  CHECK(Succeeded(Run(Path("other"))));

  fs::create_hard_link(Path("victim"), Path("hard"));
  CHECK(Killed(Run(Path("hard"))));
  fs::create_symlink(Path("victim"), Path("symbolic"));
  CHECK(Killed(Run(Path("symbolic"))));
  CHECK(Killed(Run("/proc/self/root" + Path("victim"))));
  fs::rename(Path("victim"), Path("renamed"));
  CHECK(Killed(Run(Path("renamed"))));

  Apply({});
  CHECK(Succeeded(Run(Path("renamed"))));
}

TEST_CASE_METHOD(ExecFixture, "each stopped exec is one hit and one event", "[exec]") {
  Apply({Block(Path("victim"))});
  datapath().DrainEvents(1000);
  fs::create_hard_link(Path("victim"), Path("hard"));
  Run(Path("victim"));
  Run(Path("hard"));
  const ObservedState observed = Observe();
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].policy_id == kBlockId);
  CHECK(observed.policies[0].hits == 2);
  CHECK(observed.policies[0].degraded.empty());
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == EventKind::kExecDenied);
  CHECK_THAT(events[0].detail, Catch::Contains(Path("victim")));
  CHECK_THAT(events[1].detail, Catch::Contains(Path("hard")));
}

TEST_CASE_METHOD(ExecFixture, "a file that replaces a blocked one, or appears later, is blocked within a second",
                 "[exec]") {
  Apply({Block(Path("victim")), Block(Path("later"), PolicyAction::kSigkill, "44444444-4444-4444-8444-444444444444")});
  fs::rename(Path("victim"), Path("moved"));
  fs::rename(Path("other"), Path("victim"));
  CHECK(Killed(Run(Path("victim"))));  // by path, at once
  Copy("later");
  REQUIRE_OK(datapath().Maintain());
  fs::create_hard_link(Path("victim"), Path("alias"));
  fs::create_hard_link(Path("later"), Path("late_alias"));
  CHECK(Killed(Run(Path("alias"))));
  CHECK(Killed(Run(Path("late_alias"))));
  CHECK(Killed(Run(Path("moved"))));
}

TEST_CASE_METHOD(ExecFixture, "an exec from a thread is killed", "[exec]") {
  Apply({Block(Path("victim"))});
  const std::string path = Path("victim");
  const int status = test::WaitFor(cgroup().Fork([&path] {
    std::thread([&path] { execl(path.c_str(), "true", nullptr); }).join();
    return 1;
  }));
  CHECK(Killed(status));
}

TEST_CASE_METHOD(ExecFixture, "a script is blocked by its own path", "[exec]") {
  const int fd = creat(Path("script").c_str(), 0755);
  REQUIRE(write(fd, "#!/bin/sh\nexit 0\n", 17) == 17);
  close(fd);
  CHECK(Succeeded(Run(Path("script"))));
  Apply({Block(Path("script"))});
  CHECK(Killed(Run(Path("script"))));
}

TEST_CASE_METHOD(ExecFixture, "a path of 4000 bytes is matched whole", "[exec]") {
  std::string deep = Path("d");
  while (deep.size() < 3800) {
    fs::create_directory(deep);
    deep += "/" + std::string(200, 'x');
  }
  fs::create_directory(deep);
  fs::copy_file(Path("other"), deep + "/victim_a");
  fs::copy_file(Path("other"), deep + "/victim_b");
  Apply({Block(deep + "/victim_a")});
  fs::rename(deep + "/victim_a", deep + "/was");
  fs::rename(deep + "/victim_b", deep + "/victim_a");  // another file: only the path can match
  CHECK(Killed(Run(deep + "/victim_a")));
  fs::rename(deep + "/victim_a", deep + "/victim_b");
  CHECK(Succeeded(Run(deep + "/victim_b")));
}

TEST_CASE_METHOD(ExecFixture, "NOTIFY lets it run and counts", "[exec]") {
  const uint64_t before = Counted("shadow_exec");
  Apply({Block(Path("victim"), PolicyAction::kNotify)});
  CHECK(Succeeded(Run(Path("victim"))));
  const ObservedState observed = Observe();
  CHECK(CounterOf(observed, "shadow_exec") == before + 1);
  CHECK(observed.policies[0].hits == 1);
}

TEST_CASE_METHOD(ExecFixture, "DENY refuses where the kernel can and kills where it cannot, and says so", "[exec]") {
  Apply({Block(Path("victim"), PolicyAction::kDeny)});
  const bool lsm = Has("lsm_bprm_check");
  const bool can_refuse = Has("fmod_ret_bprm_check") || lsm;
  CHECK((can_refuse ? Refused(Run(Path("victim"))) : Killed(Run(Path("victim")))));
  CHECK(Observe().policies[0].degraded.empty() == can_refuse);
}

TEST_CASE_METHOD(ExecFixture, "processes outside the scope are left alone", "[exec]") {
  Apply({Block(Path("victim"))});
  const std::string path = Path("victim");
  const pid_t pid = fork();
  if (pid == 0) {
    execl(path.c_str(), "true", nullptr);
    _exit(1);
  }
  CHECK(Succeeded(test::WaitFor(pid)));
}

}  // namespace
}  // namespace bulkhead::sensor
