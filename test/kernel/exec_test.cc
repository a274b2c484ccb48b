// Blocked binaries: by path, by identity under other names, after replacement, from threads.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/hex.h"
#include "kernel/fixture.h"
#include "kernel/victims.h"
#include "sensor/kernel/cgroup.h"

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

bool Says(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

// Programs that end with 0 at once, each with a content of its own.
class ExecFixture : public VictimFixture {
 public:
  std::string Content(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  int Run(const std::string& path) const { return cgroup().Execute(path, {"true"}); }

  bool HasMap() const { return Has("lsm_mmap_file") || Has("fmod_ret_mmap_file"); }
  static Policy BlockContent(const std::string& sha256, PolicyAction action = PolicyAction::kSigkill) {
    Policy policy = Block("", action);
    policy.binary_sha256 = sha256;
    return policy;
  }
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
  CHECK(observed.policies[0].degraded.empty() == (Has("exec_digest") && HasMap()));
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == EventKind::kExecDenied);
  CHECK_THAT(events[0].detail, Catch::Contains(Path("victim")));
  CHECK_THAT(events[1].detail, Catch::Contains(Path("hard")) && Catch::Contains("file identity"));
}

TEST_CASE_METHOD(ExecFixture, "an event says who tried, by whose order and where, also in shadow mode", "[exec]") {
  const PolicyAction action = GENERATE(PolicyAction::kSigkill, PolicyAction::kDeny, PolicyAction::kNotify);
  Apply({Block(Path("victim"), action)});
  datapath().DrainEvents(1000);
  const std::string victim = Path("victim");
  fs::permissions(fs::path(victim).parent_path(), fs::perms(0755));
  constexpr uid_t kSomebody = 4711;
  const std::string container = std::string(64, 'c');
  const std::string inner = cgroup().path() + "/docker-" + container + ".scope";
  REQUIRE(fs::create_directory(inner));
  const std::string procs = inner + "/cgroup.procs";
  const pid_t pid = cgroup().Fork([&victim, &procs] {
    char* const arguments[] = {const_cast<char*>("x"), nullptr};
    const int fd = open(procs.c_str(), O_WRONLY | O_CLOEXEC);
    if (write(fd, "0", 1) != 1 || setuid(kSomebody) != 0) return 125;
    execv(victim.c_str(), arguments);
    return 126;
  });
  test::WaitFor(pid);
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 1);
  CHECK(events[0].pid == static_cast<uint32_t>(pid));
  CHECK(events[0].uid == kSomebody);
  CHECK(events[0].parent_pid == static_cast<uint32_t>(getpid()));
  CHECK(events[0].parent_comm == "kernel_test");
  CHECK(events[0].cgroup == ResolveScope(cgroup().path()).value().relative + "/docker-" + container + ".scope");
  CHECK(events[0].container == container);
  for (int i = 0; i < 500 && rmdir(inner.c_str()) != 0; ++i) usleep(2000);
}

TEST_CASE_METHOD(ExecFixture, "who comes back after a stop is counted, with the parent, and a restart forgets nothing",
                 "[exec]") {
  const PolicyAction action = GENERATE(PolicyAction::kSigkill, PolicyAction::kDeny);
  // Another id each time: the count belongs to the policy.
  const std::string id =
      action == PolicyAction::kDeny ? "55555555-5555-4555-8555-555555555555" : "66666666-6666-4666-8666-666666666666";
  Apply({Block(Path("victim"), action, id)});
  datapath().DrainEvents(1000);
  Run(Path("victim"));
  CHECK(Observe().policies[0].respawns == 0);
  Run(Path("victim"));
  Run(Path("other"));
  CHECK(Observe().policies[0].respawns == 1);
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 2);
  CHECK_FALSE(Says(events[0].detail, "came back"));
  CHECK_THAT(events[1].detail,
             Catch::Contains("came back") && Catch::Contains("parent " + std::to_string(getpid()) + " (kernel_test)"));
  Crash();
  Open();
  Run(Path("victim"));
  CHECK(Observe().policies[0].respawns == 2);
  Apply({Block(Path("victim"), PolicyAction::kNotify)});
  Run(Path("victim"));
  Run(Path("victim"));
  CHECK(Observe().policies[0].respawns == 0);  // nobody was stopped
}

TEST_CASE_METHOD(ExecFixture, "who runs a file after a process that ran it was killed came back", "[exec]") {
  Make("runner");
  fs::remove(Path("runner"));
  fs::copy_file(fs::exists("/bin/sleep") ? "/bin/sleep" : "/usr/bin/sleep", Path("runner"));
  const std::string runner = Path("runner");
  const pid_t pid = cgroup().Fork([&runner] {
    char* const arguments[] = {const_cast<char*>("x"), const_cast<char*>("1000"), nullptr};
    execv(runner.c_str(), arguments);
    return 127;
  });
  for (int i = 0; i < 1000 && fs::read_symlink("/proc/" + std::to_string(pid) + "/exe").string() != runner; ++i)
    usleep(5000);
  Policy policy = Block(runner, PolicyAction::kSigkill, "77777777-7777-4777-8777-777777777777");
  policy.kill_running = true;
  Apply({policy});
  CHECK(Killed(test::WaitFor(pid)));
  CHECK(Observe().policies[0].killed_running == 1);
  CHECK(Observe().policies[0].respawns == 0);
  CHECK(Killed(Run(runner)));
  CHECK(Observe().policies[0].respawns == 1);
}

TEST_CASE_METHOD(ExecFixture, "a file that replaces a blocked one, or appears later, is blocked within a second",
                 "[exec]") {
  Apply({Block(Path("victim")), Block(Path("later"), PolicyAction::kSigkill, "44444444-4444-4444-8444-444444444444")});
  fs::rename(Path("victim"), Path("moved"));
  fs::rename(Path("other"), Path("victim"));
  CHECK(Killed(Run(Path("victim"))));  // by path, at once
  Make("later");
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
  fs::copy_file(Path("victim"), deep + "/victim_a");
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
  CHECK(Says(Observe().policies[0].degraded, "killed instead of refused") != can_refuse);
}

TEST_CASE_METHOD(ExecFixture, "a copy of a blocked file is stopped, also one from before the order",
                 "[exec][content]") {
  fs::copy_file(Path("victim"), Path("early"));
  Apply({Block(Path("victim"))});
  fs::copy_file(Path("victim"), Path("late"));
  datapath().DrainEvents(1000);
  CHECK(Killed(Run(Path("early"))));
  CHECK(Killed(Run(Path("late"))));
  CHECK(Succeeded(Run(Path("other"))));
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 2);
  CHECK_THAT(events[0].detail, Catch::Contains(Has("exec_digest") ? "content (SHA-256)" : "fingerprint"));
  CHECK(Observe().policies[0].sha256 == Sha256(Content("victim")));
  fs::remove(Path("victim"));
  REQUIRE_OK(datapath().Maintain());
  CHECK(Killed(Run(Path("late"))));  // the content stays blocked when the file is gone
}

TEST_CASE_METHOD(ExecFixture, "a content alone can be blocked where the kernel can hash, and says so where it cannot",
                 "[exec][content]") {
  Apply({BlockContent(Sha256(Content("victim")))});
  const bool hashes = Has("exec_digest");
  CHECK((hashes ? Killed(Run(Path("victim"))) : Succeeded(Run(Path("victim")))));
  CHECK(Succeeded(Run(Path("other"))));
  CHECK(Says(Observe().policies[0].degraded, "cannot hash") != hashes);
  Apply({BlockContent(Sha256(Content("victim")), PolicyAction::kDeny)});
  if (hashes) CHECK(Refused(Run(Path("victim"))));
  const uint64_t before = Counted("shadow_exec");
  Apply({BlockContent(Sha256(Content("victim")), PolicyAction::kNotify)});
  CHECK(Succeeded(Run(Path("victim"))));
  if (hashes) CHECK(Counted("shadow_exec") == before + 1);
}

// The flaw of fapolicyd, which keeps verdicts by inode: make a file known as good, then give it another content.
TEST_CASE_METHOD(ExecFixture, "a digest that the kernel keeps is dropped before the content can change",
                 "[exec][content]") {
  const std::string blocked = Content("victim");
  std::string harmless = blocked;
  harmless.back() = '?';  // the same size
  Apply({BlockContent(Sha256(blocked))});
  if (!Has("exec_digest")) return;
  const auto put = [this](const std::string& content) {
    std::fstream(Path("changing"), std::ios::in | std::ios::out | std::ios::binary) << content;
  };
  fs::copy_file(Path("other"), Path("changing"));
  for (int round = 0; round < 50; ++round) {
    put(harmless);
    REQUIRE(Succeeded(Run(Path("changing"))));
    REQUIRE(Succeeded(Run(Path("changing"))));  // the second time from what is kept
    put(blocked);
    REQUIRE(Killed(Run(Path("changing"))));
  }
  // Through a mapping, times put back, and by truncation.
  put(harmless);
  REQUIRE(Succeeded(Run(Path("changing"))));
  struct stat before {};
  REQUIRE(stat(Path("changing").c_str(), &before) == 0);
  {
    const UniqueFd fd(open(Path("changing").c_str(), O_RDWR | O_CLOEXEC));
    void* const mapped = mmap(nullptr, blocked.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    std::memcpy(mapped, blocked.data(), blocked.size());
    munmap(mapped, blocked.size());
    const timespec times[2] = {before.st_atim, before.st_mtim};
    futimens(fd.get(), times);
  }
  CHECK(Killed(Run(Path("changing"))));
  std::ofstream(Path("longer"), std::ios::binary) << blocked << "tail";
  fs::permissions(Path("longer"), fs::perms(0755));
  CHECK(Succeeded(Run(Path("longer"))));
  REQUIRE(truncate(Path("longer").c_str(), static_cast<off_t>(blocked.size())) == 0);
  CHECK(Killed(Run(Path("longer"))));
}

TEST_CASE_METHOD(ExecFixture, "a memfd that was run is hashed again when it runs again", "[exec][content]") {
  std::string harmless = Content("victim");
  harmless.back() = '?';
  Apply({BlockContent(Sha256(Content("victim")))});
  if (!Has("exec_digest")) return;
  const UniqueFd fd(memfd_create("changing", 0));
  const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd.get());
  for (int round = 0; round < 20; ++round) {
    REQUIRE(pwrite(fd.get(), harmless.data(), harmless.size(), 0) == static_cast<ssize_t>(harmless.size()));
    REQUIRE(Succeeded(Run(path)));
    const std::string blocked = Content("victim");
    REQUIRE(pwrite(fd.get(), blocked.data(), blocked.size(), 0) == static_cast<ssize_t>(blocked.size()));
    REQUIRE(Killed(Run(path)));
  }
}

TEST_CASE_METHOD(ExecFixture, "a blocked file does not become code by a mapping", "[exec][map]") {
  fs::copy_file(Path("victim"), Path("copy"));
  const auto map = [this](const std::string& name, bool later) {
    const std::string path = Path(name);
    return test::WaitFor(cgroup().Fork([&path, later] {
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      void* const at = mmap(nullptr, 4096, later ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
      if (at == MAP_FAILED) return errno;
      return later && mprotect(at, 4096, PROT_READ | PROT_EXEC) != 0 ? errno : 0;
    }));
  };
  Apply({Block(Path("victim"), PolicyAction::kDeny)});
  const auto refused = [](int status) {
    return WIFEXITED(status) && (WEXITSTATUS(status) == EPERM || WEXITSTATUS(status) == EACCES);
  };
  for (const bool later : {false, true}) {
    INFO("by mprotect: " << later);
    CHECK((HasMap() ? refused(map("victim", later)) : Succeeded(map("victim", later))));
    CHECK((Has("exec_digest") ? refused(map("copy", later)) : Succeeded(map("copy", later))));
    CHECK(Succeeded(map("other", later)));
  }
  Apply({Block(Path("victim"))});
  if (HasMap()) CHECK(Killed(map("victim", false)));
  // A content whose size nobody knows: a mapping as data is not hashed, so it may not become code afterwards.
  Apply({BlockContent(Sha256(Content("victim")), PolicyAction::kDeny)});
  CHECK((Has("exec_digest") ? refused(map("copy", false)) : Succeeded(map("copy", false))));
  CHECK((Has("exec_digest") ? refused(map("copy", true)) : Succeeded(map("copy", true))));
}

TEST_CASE_METHOD(ExecFixture, "what the host needs is refused by its real file, unless forced; the sensor always",
                 "[exec][needed]") {
  const auto check = [this](Policy policy, bool forced) {
    policy.forced = forced;
    return FirstRefusal(State({std::move(policy)}), DesiredState());
  };
  fs::create_symlink("/bin/sh", Path("link"));
  fs::copy_file(fs::canonical("/bin/sh"), Path("copy"));
  fs::create_symlink("/proc/1/exe", Path("init"));
  for (const char* const name : {"link", "copy", "init"}) {
    INFO(name);
    std::error_code unreadable;  // a container may not see the program of its process 1
    if (!fs::exists(Path(name), unreadable)) continue;
    CHECK_CODE(check(Block(Path(name)), false), kFailedPrecondition);
    CHECK_CODE(check(Block(Path(name)), true), kOk);
  }
  // A guest's init is its shell.
  const std::string refusal(check(Block(Path("link")), false).message());
  CHECK((Says(refusal, "is a shell") || Says(refusal, "is the host's init")));
  CHECK(Says(refusal, "order it with force"));
  CHECK_CODE(check(BlockContent(Sha256(Content("copy"))), false), kFailedPrecondition);
  CHECK_CODE(check(Block("/proc/self/exe"), true), kFailedPrecondition);
  CHECK_THAT(std::string(check(Block(fs::path(Path("x")).parent_path()), true).message()),
             Catch::Contains("directory"));
  CHECK_CODE(check(Block(Path("victim")), false), kOk);
  CHECK_CODE(check(Block(Path("not there yet")), false), kOk);
  // Whoever puts the shell behind a path that is blocked already does not get it blocked, nor later orders refused.
  const DesiredState state = State({Block(Path("victim"))});
  REQUIRE_OK(datapath().Apply(state));
  fs::remove(Path("victim"));
  fs::create_symlink("/bin/sh", Path("victim"));
  REQUIRE_OK(datapath().Maintain());
  REQUIRE_OK(FirstRefusal(state, state));
  CHECK(Says(Observe().policies[0].degraded, "blocked under this path only"));
  CHECK(WIFEXITED(cgroup().Execute("/bin/sh", {"sh", "-c", "exit 0"})));
}

TEST_CASE_METHOD(ExecFixture, "who runs a file when it becomes blocked is listed, and killed if the order says so",
                 "[exec][running]") {
  const fs::path sleeper = fs::exists("/bin/sleep") ? "/bin/sleep" : "/usr/bin/sleep";
  fs::copy_file(sleeper, Path("sleeper"));
  std::ofstream(Path("sleeper"), std::ios::app) << "sleeper";
  fs::copy_file(Path("sleeper"), Path("copy"));
  const auto start = [this](const std::string& name) {
    const std::string path = Path(name);
    const pid_t pid = cgroup().Fork([&path] {
      execl(path.c_str(), "sleep", "60", nullptr);
      return 1;
    });
    for (int i = 0; i < 500; ++i) {
      std::error_code error;
      if (fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", error) == path) break;
      usleep(10000);
    }
    return pid;
  };
  const pid_t original = start("sleeper");
  const pid_t copy = start("copy");
  Policy policy = Block(Path("sleeper"));
  Apply({policy});
  ObservedPolicy observed = Observe().policies[0];
  CHECK(observed.running == 2);
  CHECK(observed.killed_running == 0);
  CHECK(std::is_sorted(observed.running_pids.begin(), observed.running_pids.end()));
  CHECK(std::count(observed.running_pids.begin(), observed.running_pids.end(), static_cast<uint32_t>(copy)) == 1);
  policy.kill_running = true;
  Apply({policy});
  CHECK(Killed(test::WaitFor(original)));
  CHECK(Killed(test::WaitFor(copy)));
  observed = Observe().policies[0];
  CHECK(observed.running == 0);
  CHECK(observed.killed_running == 2);
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
