// Kills of several processes: all that were meant, also those that run away, and nobody else.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "common/hex.h"
#include "harness/temp_dir.h"
#include "kernel/fixture.h"
#include "sensor/kernel/fork_watch.h"
#include "sensor/kernel/never_killed.h"
#include "sensor/kernel/process_info.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

int SleepForever() {
  for (;;) pause();
}

// Two pipe ends that a process of the test waits at.
struct Gate {
  Gate() { REQUIRE(pipe(ends) == 0); }
  ~Gate() {
    close(ends[0]);
    close(ends[1]);
  }
  void Open() const { REQUIRE(write(ends[1], "x", 1) == 1); }
  void Pass() const {
    char byte;
    while (read(ends[0], &byte, 1) < 0) continue;
  }
  int ends[2];
};

class KillGroupFixture {
 public:
  KillGroupFixture()
      : scope_(ResolveScope(cgroup_.path()).value()), killer_(MakeProcessKiller(cgroup_.path()).value()) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // whoever is orphaned comes here, and is waited for
  }
  ~KillGroupFixture() {
    std::ofstream(cgroup_.path() + "/cgroup.kill") << 1 << std::flush;
    for (int i = 0; i < 1000 && Living() > 0; ++i) absl::SleepFor(absl::Milliseconds(5));
    // Other fixtures have children that live on: nothing is waited for.
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  size_t Living() const { return ProcessesIn(scope_).size(); }
  void WaitForLiving(size_t count) const {
    for (int i = 0; i < 1000 && Living() < count; ++i) absl::SleepFor(absl::Milliseconds(5));
    REQUIRE(Living() >= count);
  }
  // A process that was forked by Fork.
  static bool Alive(pid_t pid) { return waitpid(pid, nullptr, WNOHANG) == 0; }

  pid_t Fork(const std::function<int()>& body) const { return cgroup_.Fork(body); }
  pid_t Run(const std::string& file) const {
    return Fork([&file] {
      char* const arguments[] = {const_cast<char*>("x"), const_cast<char*>("1000"), nullptr};
      execv(file.c_str(), arguments);
      return 127;
    });
  }

  static ProcessTree TreeOf(pid_t pid) {
    ProcessTree tree;
    tree.root.pid = pid;
    return tree;
  }
  static ProcessKey KeyOf(pid_t pid) { return {static_cast<uint32_t>(pid), ReadProcess(pid).value().start_time_ticks}; }

  const test::CgroupSandbox& cgroup() const { return cgroup_; }
  const Scope& scope() const { return scope_; }
  ProcessKiller& killer() const { return *killer_; }

 private:
  test::CgroupSandbox cgroup_;
  Scope scope_;
  std::unique_ptr<ProcessKiller> killer_;
};

// A root with a child, a grandchild in a session of its own, and that one's child.
int GrowFamily() {
  if (fork() != 0) return SleepForever();
  if (fork() != 0) return SleepForever();
  setsid();
  fork();
  return SleepForever();
}

TEST_CASE_METHOD(KillGroupFixture, "a tree is killed with all its descendants, and nobody else", "[kill]") {
  const pid_t stranger = Fork(SleepForever);
  const pid_t root = Fork(GrowFamily);
  WaitForLiving(5);
  const CommandResult result = killer().KillAll(TreeOf(root));
  INFO(result.message);
  CHECK(result.outcome == CommandOutcome::kGone);
  REQUIRE(result.group.has_value());
  CHECK(result.group->counts == KillCounts{4, 0, 0});
  REQUIRE(result.group->processes.size() == 4);
  for (const KilledProcess& process : result.group->processes) {
    CHECK_THAT(process.found, Catch::Contains("pid " + std::to_string(process.pid)));
  }
  CHECK(Living() == 1);
  CHECK(Alive(stranger));
  CHECK(killer().KillAll(TreeOf(root)).outcome == CommandOutcome::kAlreadyGone);
}

TEST_CASE_METHOD(KillGroupFixture, "another process under the root's number is not touched, nor its children",
                 "[kill]") {
  const pid_t root = Fork(GrowFamily);
  WaitForLiving(4);
  ProcessTree tree = TreeOf(root);
  SECTION("another start time") {
    tree.root.start_time_ticks = ReadProcess(root).value().start_time_ticks + 1;
  }
  SECTION("started after the order") {
    tree.root.not_started_after = absl::Now() - absl::Hours(1);
  }
  SECTION("another executable") {
    tree.root.executable = "/bin/other";
  }
  const CommandResult result = killer().KillAll(tree);
  CHECK(result.outcome == CommandOutcome::kNotTheSameProcess);
  CHECK_FALSE(result.found.empty());
  CHECK(Living() == 4);
}

constexpr int kMostForks = 1000;

// Doubles every 200 ms, kMostForks times at most.
int Bomb(std::atomic<int>* count) {
  for (;;) {
    usleep(200000);
    if (count->fetch_add(1) >= kMostForks) return SleepForever();
    fork();
  }
}

TEST_CASE_METHOD(KillGroupFixture, "a fork bomb dies faster than it grows", "[kill]") {
  void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  auto* const count = new (shared) std::atomic<int>(0);
  const pid_t root = Fork([count] { return Bomb(count); });
  WaitForLiving(16);
  const absl::Time start = absl::Now();
  const CommandResult result = killer().KillAll(TreeOf(root));
  INFO(result.message);
  WARN("fork bomb: " << result.message << ", in " << absl::FormatDuration(absl::Now() - start));
  CHECK(result.outcome == CommandOutcome::kGone);
  CHECK(Living() == 0);
  CHECK(count->load() < kMostForks);  // it was stopped, it did not stop
  munmap(shared, 4096);
}

TEST_CASE_METHOD(KillGroupFixture, "who is orphaned while the tree is killed stays a member", "[kill]") {
  const Gate gate;
  // Makes a daemon when told: a grandchild in another session whose parent has ended.
  const pid_t root = Fork([&gate] {
    gate.Pass();
    const pid_t child = fork();
    if (child != 0) {
      waitpid(child, nullptr, 0);
      return SleepForever();
    }
    setsid();
    if (fork() != 0) _exit(0);
    return SleepForever();
  });
  const auto watch = ForkWatch::Start();
  REQUIRE_OK(watch);
  REQUIRE_OK((*watch)->Add({KeyOf(root)}));
  gate.Open();
  for (int i = 0; i < 1000 && (*watch)->Members().value().size() < 3; ++i) absl::SleepFor(absl::Milliseconds(5));
  for (int i = 0; i < 1000 && Living() > 2; ++i) absl::SleepFor(absl::Milliseconds(5));
  const auto members = (*watch)->Members();
  REQUIRE_OK(members);
  CHECK(members->size() == 3);
  for (const pid_t pid : ProcessesIn(scope())) {
    const bool member =
        std::any_of(members->begin(), members->end(), [pid](const auto& m) { return m.key == KeyOf(pid); });
    CHECK(member);
    CHECK((pid == root || ReadProcess(pid).value().parent == static_cast<uint32_t>(getpid())));
  }
  CHECK((*watch)->lost() == 0);
}

TEST_CASE_METHOD(KillGroupFixture, "a member of an armed tree dies at its first fork, outside the scope it does not",
                 "[kill]") {
  const bool inside = GENERATE(true, false);
  const test::CgroupSandbox other;
  const Gate gate;
  const auto fork_when_told = [&gate] {
    gate.Pass();
    fork();
    return SleepForever();
  };
  const pid_t root = inside ? Fork(fork_when_told) : other.Fork(fork_when_told);
  const auto watch = ForkWatch::Start();
  REQUIRE_OK(watch);
  REQUIRE_OK((*watch)->Add({KeyOf(root)}));
  REQUIRE_OK((*watch)->Arm(scope()));
  gate.Open();
  for (int i = 0; i < 1000 && (*watch)->Members().value().size() < 2; ++i) absl::SleepFor(absl::Milliseconds(5));
  CHECK((*watch)->Members().value().size() == 2);
  for (int i = 0; i < 200 && inside && Alive(root); ++i) absl::SleepFor(absl::Milliseconds(5));
  CHECK((kill(root, 0) == 0) == !inside);
  if (inside) return;
  kill(root, SIGKILL);
  std::ofstream(other.path() + "/cgroup.kill") << 1 << std::flush;
}

// A root, and a daemon that left its tree.
TEST_CASE_METHOD(KillGroupFixture, "a daemon from before the order is not in the tree, and is in the cgroup",
                 "[kill]") {
  const Gate daemonized;
  const pid_t root = Fork([&daemonized] {
    if (fork() != 0) return SleepForever();
    setsid();
    if (fork() != 0) _exit(0);
    return write(daemonized.ends[1], "x", 1) == 1 ? SleepForever() : 1;
  });
  daemonized.Pass();
  for (int i = 0; i < 1000 && Living() > 2; ++i) absl::SleepFor(absl::Milliseconds(5));
  CHECK(killer().KillAll(TreeOf(root)).outcome == CommandOutcome::kGone);
  CHECK(Living() == 1);
  const CommandResult result = killer().KillAll(PolicyScope{PolicyScope::Kind::kCgroup, scope().relative});
  CHECK(result.outcome == CommandOutcome::kGone);
  CHECK(Living() == 0);
}

// Copies of sleep(1), each with a content of its own.
class RunningFileFixture : public KillGroupFixture {
 public:
  RunningFileFixture() {
    Make("victim");
    Make("other");
  }
  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  void Make(const std::string& name) const {
    fs::copy_file(fs::exists("/bin/sleep") ? "/bin/sleep" : "/usr/bin/sleep", Path(name));
    fs::permissions(Path(name), fs::perms(0755));
    std::ofstream(Path(name), std::ios::app) << name;  // behind the end of the ELF file
  }
  std::string Digest(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return Sha256(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  static void WaitForExe(pid_t pid, const std::string& path) {
    for (int i = 0; i < 1000 && ReadProcess(pid).value().executable != path; ++i) absl::SleepFor(absl::Milliseconds(5));
    REQUIRE(ReadProcess(pid).value().executable == path);
  }
  pid_t Start(const std::string& name) const {
    const pid_t pid = Run(Path(name));
    WaitForExe(pid, Path(name));
    return pid;
  }

 private:
  test::TempDir directory_;
};

TEST_CASE_METHOD(RunningFileFixture, "whoever runs a file is killed, under whatever name it was started", "[kill]") {
  fs::create_hard_link(Path("victim"), Path("hard"));
  fs::create_symlink(Path("victim"), Path("symbolic"));
  fs::copy_file(Path("victim"), Path("copy"));
  const std::vector<pid_t> meant = {Start("victim"), Start("hard"), Run(Path("symbolic"))};
  WaitForExe(meant[2], Path("victim"));
  const pid_t other = Start("other");
  const pid_t copy = Start("copy");
  SECTION("by path") {
    const CommandResult result = killer().KillAll(RunningFile{Path("victim"), ""});
    INFO(result.message);
    CHECK(result.outcome == CommandOutcome::kGone);
    CHECK(result.group->counts == KillCounts{3, 0, 0});
    CHECK(Alive(copy));
    CHECK(killer().KillAll(RunningFile{Path("victim"), ""}).outcome == CommandOutcome::kAlreadyGone);
  }
  SECTION("by content, copies too") {
    const CommandResult result = killer().KillAll(RunningFile{"", Digest("victim")});
    CHECK(result.outcome == CommandOutcome::kGone);
    CHECK(result.group->counts == KillCounts{4, 0, 0});
    CHECK_FALSE(Alive(copy));
  }
  SECTION("by both") {
    CHECK(killer().KillAll(RunningFile{Path("victim"), Digest("other")}).outcome == CommandOutcome::kAlreadyGone);
    CHECK(Alive(meant[0]));
    CHECK(killer().KillAll(RunningFile{Path("victim"), Digest("victim")}).group->counts.killed == 3);
    CHECK(Alive(copy));
  }
  for (const pid_t pid : meant) CHECK_FALSE(Alive(pid));
  CHECK(Alive(other));
}

TEST_CASE_METHOD(RunningFileFixture, "a file that was deleted or replaced is still the one that they run", "[kill]") {
  const pid_t old = Start("victim");
  const pid_t other = Start("other");
  SECTION("deleted") {
    fs::remove(Path("victim"));
  }
  SECTION("replaced") {
    fs::remove(Path("victim"));
    Make("victim");
  }
  SECTION("deleted, and another file is called as the kernel shows it") {
    fs::remove(Path("victim"));
    fs::copy_file(Path("other"), Path("victim (deleted)"));
    const pid_t literal = Run(Path("victim (deleted)"));
    WaitForExe(literal, Path("victim (deleted)"));
    CHECK(killer().KillAll(RunningFile{Path("victim"), ""}).group->counts.killed == 1);
    CHECK(Alive(literal));
    CHECK_FALSE(Alive(old));
    return;
  }
  CHECK(killer().KillAll(RunningFile{Path("victim"), ""}).outcome == CommandOutcome::kGone);
  CHECK_FALSE(Alive(old));
  CHECK(Alive(other));
}

TEST_CASE_METHOD(RunningFileFixture, "a process outside the scope is left alone and named", "[kill]") {
  const test::CgroupSandbox outside;
  const std::string path = Path("victim");
  const pid_t stranger = outside.Fork([&path] {
    char* const arguments[] = {const_cast<char*>("x"), const_cast<char*>("1000"), nullptr};
    execv(path.c_str(), arguments);
    return 127;
  });
  WaitForExe(stranger, path);
  const CommandResult alone = killer().KillAll(RunningFile{path, ""});
  CHECK(alone.outcome == CommandOutcome::kRefused);
  const pid_t inside = Start("victim");
  const CommandResult result = killer().KillAll(RunningFile{path, ""});
  CHECK(result.outcome == CommandOutcome::kGone);
  REQUIRE(result.group->processes.size() == 2);
  CHECK(result.group->processes[0].pid == static_cast<uint32_t>(stranger));
  CHECK_THAT(result.group->processes[0].message, Catch::Contains("outside this sensor's scope"));
  CHECK_FALSE(Alive(inside));
  CHECK(Alive(stranger));
  kill(stranger, SIGKILL);
}

TEST_CASE_METHOD(RunningFileFixture, "a file that cannot be run is refused", "[kill]") {
  const CommandResult result = killer().KillAll(RunningFile{"/proc", ""});
  CHECK(result.outcome == CommandOutcome::kRefused);
  CHECK_THAT(result.message, Catch::Contains("is a directory"));
}

TEST_CASE_METHOD(KillGroupFixture, "a process whose first thread has ended is found and killed", "[kill]") {
  const pid_t pid = Fork([] {
    pthread_t thread;
    pthread_create(
        &thread, nullptr, [](void*) -> void* { return reinterpret_cast<void*>(SleepForever()); }, nullptr);
    return static_cast<int>(syscall(SYS_exit, 0));
  });
  WaitForLiving(1);
  for (int i = 0; i < 1000 && !ReadProcess(pid).value().executable.empty(); ++i) absl::SleepFor(absl::Milliseconds(5));
  REQUIRE(ReadProcess(pid).value().executable.empty());
  const std::string own = fs::read_symlink("/proc/self/exe").string();
  SECTION("by number") {
    ProcessIdentity process;
    process.pid = pid;
    CHECK(killer().Kill(process).outcome == CommandOutcome::kGone);
  }
  SECTION("by file; this process runs it too, and is the sensor") {
    const CommandResult result = killer().KillAll(RunningFile{own, ""});
    CHECK(result.outcome == CommandOutcome::kGone);
    CHECK(result.group->counts.killed == 1);
    const auto& processes = result.group->processes;
    CHECK(std::any_of(processes.begin(), processes.end(), [](const KilledProcess& process) {
      return process.pid == static_cast<uint32_t>(getpid()) && process.outcome == CommandOutcome::kRefused;
    }));
  }
  CHECK_FALSE(Alive(pid));
}

TEST_CASE_METHOD(KillGroupFixture, "a cgroup is killed at once with all below it", "[kill]") {
  const std::string below = cgroup().path() + "/below";
  REQUIRE(mkdir(below.c_str(), 0755) == 0);
  for (int i = 0; i < 10; ++i) Fork(SleepForever);
  Fork([&below] {
    std::ofstream(below + "/cgroup.procs") << getpid() << std::flush;
    return SleepForever();
  });
  WaitForLiving(11);
  const test::CgroupSandbox other;
  const pid_t stranger = other.Fork(SleepForever);
  const CommandResult result = killer().KillAll(PolicyScope{PolicyScope::Kind::kCgroup, scope().relative});
  CHECK(result.outcome == CommandOutcome::kGone);
  CHECK(result.group->counts == KillCounts{11, 0, 0});
  CHECK_THAT(result.message, Catch::Contains("at once, by cgroup.kill"));
  CHECK(Living() == 0);
  CHECK(Alive(stranger));
  const CommandResult again = killer().KillAll(PolicyScope{PolicyScope::Kind::kCgroup, scope().relative});
  CHECK(again.outcome == CommandOutcome::kAlreadyGone);
  const CommandResult none = killer().KillAll(PolicyScope{PolicyScope::Kind::kCgroup, scope().relative + "/none"});
  CHECK(none.outcome == CommandOutcome::kAlreadyGone);
  const std::string outside = ResolveScope(other.path()).value().relative;
  CHECK(killer().KillAll(PolicyScope{PolicyScope::Kind::kCgroup, outside}).outcome == CommandOutcome::kRefused);
  CHECK(Alive(stranger));
  kill(stranger, SIGKILL);
  for (int i = 0; i < 500 && rmdir(below.c_str()) != 0; ++i) absl::SleepFor(absl::Milliseconds(2));
}

TEST_CASE_METHOD(KillGroupFixture, "a sensor inside the cgroup that it kills lives on, alone", "[kill]") {
  for (int i = 0; i < 5; ++i) Fork(SleepForever);
  WaitForLiving(5);
  // This child is the sensor.
  const pid_t sensor = Fork([this] {
    const auto inside = MakeProcessKiller(cgroup().path());
    if (!inside.ok()) return 1;
    const CommandResult result = (*inside)->KillAll(PolicyScope{PolicyScope::Kind::kCgroup, scope().relative});
    if (result.outcome != CommandOutcome::kGone || !result.group.has_value()) return 2;
    if (result.group->counts != KillCounts{5, 1, 0}) return 3;
    return result.group->processes[0].pid == static_cast<uint32_t>(getpid()) ? 0 : 4;
  });
  const int status = test::WaitFor(sensor);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE_METHOD(KillGroupFixture, "init, the sensor and its ancestors are never killed, whatever is ordered",
                 "[kill]") {
  CHECK(killer().KillAll(TreeOf(1)).outcome == CommandOutcome::kRefused);
  CHECK(killer().KillAll(TreeOf(getpid())).outcome == CommandOutcome::kRefused);
  const NeverKilled never(ResolveScope("").value());
  const auto reason = [&never](pid_t pid) { return never.Reason(pid, ReadProcess(pid).value()); };
  CHECK_THAT(reason(1), Catch::Contains("never killed"));
  CHECK_THAT(reason(getpid()), Catch::Contains("sensor itself"));
  if (getppid() != 1) CHECK_THAT(reason(getppid()), Catch::Contains("descendant"));
  const pid_t child = Fork(SleepForever);
  WaitForLiving(1);
  CHECK(reason(child).empty());
}

}  // namespace
}  // namespace bulkhead::sensor
