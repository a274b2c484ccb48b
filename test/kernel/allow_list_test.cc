// Allow-lists: only what is listed runs in the scope, whatever it is called and however it is started; what ran is
// learned.
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "common/hex.h"
#include "kernel/fixture.h"
#include "kernel/victims.h"
#include "sensor/kernel/allow_lists.h"
#include "sensor/kernel/cgroup.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

constexpr char kListId[] = "55555555-5555-4555-8555-555555555555";
constexpr char kInnerId[] = "66666666-6666-4666-8666-666666666666";

bool Succeeded(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
bool Killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool Refused(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 126;
}

// What a process of this program has mapped as code: the loader and the libraries, which are code too.
std::vector<AllowedBinary> OwnLibraries() {
  std::vector<AllowedBinary> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (line.find(" r-xp ") == std::string::npos || path == std::string::npos) continue;
    const AllowedBinary binary{line.substr(path), ""};
    if (std::find(found.begin(), found.end(), binary) == found.end()) found.push_back(binary);
  }
  return found;
}

std::string Loader() {
  for (const char* path : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-x86-64.so.2"}) {
    if (fs::exists(path)) return fs::canonical(path);
  }
  return "";
}

class ListFixture : public VictimFixture {
 public:
  void MakeScript(const std::string& name) const {
    std::ofstream(Path(name)) << "#!/bin/sh\nexit 0\n";
    fs::permissions(Path(name), fs::perms(0755));
  }

  std::string Digest(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return Sha256(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  // Lets `binaries` run in the test's cgroup, and what every program here needs.
  Policy List(std::vector<AllowedBinary> binaries, PolicyAction action = PolicyAction::kDeny) const {
    Policy policy{kListId, "bulkhead-allow-list-test", PolicyTemplate::kAllowList, action, ""};
    policy.scope = PolicyScope{PolicyScope::Kind::kCgroup, ResolveScope(cgroup().path()).value().relative};
    policy.allowed = std::move(binaries);
    if (HasMap()) {
      const std::vector<AllowedBinary> libraries = OwnLibraries();
      policy.allowed.insert(policy.allowed.end(), libraries.begin(), libraries.end());
    }
    return policy;
  }
  Policy Learn() const {
    Policy policy = List({});
    policy.allowed.clear();
    policy.learn = true;
    return policy;
  }

  int Run(const std::string& path) const { return cgroup().Execute(path, {"true"}); }
  // DENY where the kernel can, else killed before the first instruction.
  bool Stopped(int status) const { return CanRefuse() ? Refused(status) : Killed(status); }

  bool HasMap() const { return Has("lsm_mmap_file") || Has("fmod_ret_mmap_file"); }
  bool CanRefuse() const { return Has("lsm_bprm_check") || Has("fmod_ret_bprm_check"); }
  bool Hashes() const { return Has("exec_digest"); }
};

TEST_CASE_METHOD(ListFixture, "only what is listed runs, whatever it is called", "[exec][list]") {
  CHECK(Succeeded(Run(Path("other"))));
  Apply({List({{Path("victim"), ""}})});
  CHECK(Succeeded(Run(Path("victim"))));
  CHECK(Stopped(Run(Path("other"))));

  // Other names of a listed file are that file; other names of another are not listed.
  for (const auto& [name, file] : {std::pair("victim", "v"), std::pair("other", "o")}) {
    fs::create_symlink(Path(name), Path(std::string(file) + "_symbolic"));
    fs::create_hard_link(Path(name), Path(std::string(file) + "_hard"));
  }
  CHECK(Succeeded(Run(Path("v_symbolic"))));
  CHECK(Succeeded(Run(Path("v_hard"))));
  CHECK(Stopped(Run(Path("o_symbolic"))));
  CHECK(Stopped(Run(Path("o_hard"))));
  CHECK(Stopped(Run("/proc/self/root" + Path("other"))));
  const std::string directory = fs::path(Path("x")).parent_path();
  const auto relative = [&directory](const char* name) {
    return [directory, name] {
      if (chdir(directory.c_str()) != 0) return 1;
      execl(name, "true", nullptr);
      return errno == EPERM ? 126 : 127;
    };
  };
  CHECK(Succeeded(test::WaitFor(cgroup().Fork(relative("./victim")))));
  CHECK(Stopped(test::WaitFor(cgroup().Fork(relative("./other")))));

  // A copy is another file.
  fs::copy_file(Path("victim"), Path("copy"));
  CHECK(Stopped(Run(Path("copy"))));
  Apply({});
  CHECK(Succeeded(Run(Path("other"))));
}

TEST_CASE_METHOD(ListFixture, "what is not listed is a hit and an event, and SIGKILL kills", "[exec][list]") {
  Apply({List({{Path("victim"), ""}}, PolicyAction::kSigkill)});
  datapath().DrainEvents(1000);
  CHECK(Succeeded(Run(Path("victim"))));
  CHECK(Killed(Run(Path("other"))));
  const ObservedState observed = Observe();
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].hits == 1);
  CHECK(observed.policies[0].scope_cgroup == ResolveScope(cgroup().path()).value().relative);
  CHECK(observed.policies[0].degraded.empty() == HasMap());
  const std::vector<Event> events = datapath().DrainEvents(10);
  REQUIRE(events.size() == 1);
  CHECK_THAT(events[0].detail, Catch::Contains(Path("other")) && Catch::Contains("allow-list"));
}

TEST_CASE_METHOD(ListFixture, "NOTIFY lets it run and counts; a list whose lease is over does nothing",
                 "[exec][list]") {
  const uint64_t before = Counted("shadow_exec");
  Apply({List({{Path("victim"), ""}}, PolicyAction::kNotify)});
  CHECK(Succeeded(Run(Path("other"))));
  CHECK(Counted("shadow_exec") == before + 1);
  CHECK(Succeeded(Run(Path("victim"))));
  CHECK(Counted("shadow_exec") == before + 1);
  Policy over = List({});
  over.expires_at = absl::Now() - absl::Seconds(1);
  Apply({over});
  CHECK(Succeeded(Run(Path("other"))));
}

TEST_CASE_METHOD(ListFixture, "a memfd does not run, not even with a listed content", "[exec][list]") {
  Apply({List({{Path("victim"), ""}, {"", Digest("victim")}})});
  const UniqueFd fd(memfd_create("victim", 0));
  std::ifstream file(Path("victim"), std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  REQUIRE(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  CHECK(Stopped(Run("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd.get()))));
}

TEST_CASE_METHOD(ListFixture, "a script needs to be listed like its interpreter", "[exec][list]") {
  MakeScript("listed");
  MakeScript("unlisted");
  const std::string shell = fs::canonical("/bin/sh");
  Apply({List({{shell, ""}, {Path("listed"), ""}})});
  CHECK(Succeeded(Run(Path("listed"))));
  CHECK(Stopped(Run(Path("unlisted"))));
  Apply({List({{Path("listed"), ""}})});
  // A kernel that refuses nothing sees only the interpreter's image.
  CHECK(Stopped(Run(Path("listed"))));
}

TEST_CASE_METHOD(ListFixture, "a path is whatever file is there now; with a digest the content must match too",
                 "[exec][list]") {
  Apply({List({{Path("victim"), ""}})});
  fs::rename(Path("victim"), Path("moved"));
  fs::rename(Path("other"), Path("victim"));
  CHECK(Stopped(Run(Path("victim"))));  // closed until the sensor has looked
  REQUIRE_OK(datapath().Maintain());
  CHECK(Succeeded(Run(Path("victim"))));
  CHECK(Stopped(Run(Path("moved"))));

  fs::rename(Path("victim"), Path("other"));
  fs::rename(Path("moved"), Path("victim"));
  Apply({List({{Path("victim"), Digest("victim")}})});
  CHECK(Succeeded(Run(Path("victim"))));
  fs::copy_file(Path("victim"), Path("elsewhere"));
  CHECK(Stopped(Run(Path("elsewhere"))));  // the content alone is not enough
  std::ofstream(Path("victim"), std::ios::app) << "changed";
  REQUIRE_OK(datapath().Maintain());
  CHECK(Stopped(Run(Path("victim"))));
  fs::remove(Path("victim"));
  fs::rename(Path("other"), Path("victim"));
  REQUIRE_OK(datapath().Maintain());
  CHECK(Stopped(Run(Path("victim"))));
}

TEST_CASE_METHOD(ListFixture, "a digest lets every copy run where the kernel can hash, and nothing where it cannot",
                 "[exec][list]") {
  Apply({List({{"", Digest("victim")}})});
  fs::copy_file(Path("victim"), Path("copy"));
  CHECK((Hashes() ? Succeeded(Run(Path("copy"))) : Stopped(Run(Path("copy")))));
  CHECK(Stopped(Run(Path("other"))));
  const std::string degraded = Observe().policies[0].degraded;
  CHECK((degraded.find("cannot hash") == std::string::npos) == Hashes());
  if (!Hashes()) return;
  for (int round = 0; round < 10; ++round) {
    std::ofstream(Path("copy"), std::ios::app) << round;
    CHECK(Stopped(Run(Path("copy"))));
    fs::copy_file(Path("victim"), Path("copy"), fs::copy_options::overwrite_existing);
    CHECK(Succeeded(Run(Path("copy"))));
  }
}

TEST_CASE_METHOD(ListFixture, "the loader does not run what is not listed", "[exec][list]") {
  REQUIRE_FALSE(Loader().empty());
  CHECK(Succeeded(cgroup().Execute(Loader(), {"ld.so", Path("other")})));
  Apply({List({{Path("victim"), ""}})});
  CHECK_FALSE(Succeeded(cgroup().Execute(Loader(), {"ld.so", Path("other")})));
}

TEST_CASE_METHOD(ListFixture, "what is not listed does not become code by a mapping", "[exec][list][map]") {
  const auto map = [this](const std::string& name, bool later) {
    const std::string path = Path(name);
    return test::WaitFor(cgroup().Fork([&path, later] {
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      void* const at = mmap(nullptr, 4096, later ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
      if (at == MAP_FAILED) return errno;
      return later && mprotect(at, 4096, PROT_READ | PROT_EXEC) != 0 ? errno : 0;
    }));
  };
  const auto refused = [](int status) {
    return WIFEXITED(status) && (WEXITSTATUS(status) == EPERM || WEXITSTATUS(status) == EACCES);
  };
  Apply({List({{Path("victim"), ""}})});
  for (const bool later : {false, true}) {
    INFO("by mprotect: " << later);
    CHECK(Succeeded(map("victim", later)));
    CHECK((HasMap() ? refused(map("other", later)) : Succeeded(map("other", later))));
  }
  Apply({List({{"", Digest("other")}})});
  if (!Hashes()) return;
  CHECK(Succeeded(map("other", false)));
  CHECK(refused(map("victim", false)));
  const UniqueFd writer(open(Path("other").c_str(), O_RDWR | O_CLOEXEC));
  CHECK(refused(map("other", false)));  // somebody can change it
}

TEST_CASE_METHOD(ListFixture, "an exec from a thread, and one of a process that moved into the scope, are judged",
                 "[exec][list]") {
  Apply({List({{Path("victim"), ""}})});
  const std::string path = Path("other");
  const int status = test::WaitFor(cgroup().Fork([&path] {
    int error = 0;
    std::thread([&path, &error] {
      execl(path.c_str(), "true", nullptr);
      error = errno;
    }).join();
    return error == EPERM ? 126 : 127;
  }));
  CHECK(Stopped(status));

  int gate[2];
  REQUIRE(pipe2(gate, O_CLOEXEC) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    char go;
    (void)!read(gate[0], &go, 1);
    execl(path.c_str(), "true", nullptr);
    _exit(errno == EPERM ? 126 : 127);
  }
  std::ofstream(cgroup().path() + "/cgroup.procs") << pid << std::flush;
  REQUIRE(write(gate[1], "g", 1) == 1);
  CHECK(Stopped(test::WaitFor(pid)));
  close(gate[0]);
  close(gate[1]);
}

TEST_CASE_METHOD(ListFixture, "a scope is followed when it appears and is made anew, and every list on the way counts",
                 "[exec][list]") {
  const std::string inner = cgroup().path() + "/inner";
  const auto run_inside = [&](const std::string& path) {
    return test::WaitFor(cgroup().Fork([&] {
      const int procs = open((inner + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
      if (write(procs, "0", 1) != 1) return 1;
      execl(path.c_str(), "true", nullptr);
      return errno == EPERM ? 126 : 127;
    }));
  };
  Policy list = List({{Path("victim"), ""}});
  list.id = kInnerId;
  list.scope->name += "/inner";
  Apply({list});
  CHECK(Observe().policies[0].scope_cgroup.empty());
  for (int round = 0; round < 2; ++round) {
    fs::create_directory(inner);
    CHECK(Stopped(run_inside(Path("other"))));  // from its first moment, before the sensor has looked
    REQUIRE_OK(datapath().Maintain());
    CHECK(Observe().policies[0].scope_cgroup == list.scope->name);
    CHECK(Succeeded(run_inside(Path("victim"))));
    CHECK(Stopped(run_inside(Path("other"))));
    CHECK(Succeeded(Run(Path("other"))));  // beside the scope
    REQUIRE(rmdir(inner.c_str()) == 0);
    REQUIRE_OK(datapath().Maintain());
  }
  fs::create_directory(inner);
  Make("third");
  list.allowed.push_back({Path("third"), ""});
  Apply({List({{Path("victim"), ""}, {Path("other"), ""}}), list});
  CHECK(Succeeded(run_inside(Path("victim"))));
  CHECK(Stopped(run_inside(Path("other"))));
  CHECK(Stopped(run_inside(Path("third"))));
  CHECK(Succeeded(Run(Path("other"))));
  Policy twin = list;
  twin.id = kBlockId;
  Apply({list, twin});
  CHECK_THAT(Observe().policies[0].degraded + Observe().policies[1].degraded, Catch::Contains("not in force"));
  REQUIRE(rmdir(inner.c_str()) == 0);
}

TEST_CASE_METHOD(ListFixture, "what runs is learned with path and content, and that outlives the sensor",
                 "[exec][list][learn]") {
  MakeScript("script");
  const DesiredState state = State({Learn()});
  REQUIRE_OK(datapath().Apply(state));
  CHECK(Succeeded(Run(Path("victim"))));
  fs::create_symlink(Path("victim"), Path("symbolic"));
  CHECK(Succeeded(Run(Path("symbolic"))));
  CHECK(Succeeded(Run(Path("script"))));
  Make("gone");
  CHECK(Succeeded(Run(Path("gone"))));
  fs::remove(Path("gone"));
  const auto learned = [this] {
    for (int round = 0; round < 4; ++round) REQUIRE_OK(datapath().Maintain());
    return Observe().policies[0];
  };
  const auto check = [&](const ObservedPolicy& policy) {
    const std::vector<AllowedBinary>& found = policy.learned;
    const auto has = [&found](const AllowedBinary& binary) {
      return std::count(found.begin(), found.end(), binary) == 1;
    };
    CHECK(has({Path("victim"), Digest("victim")}));
    CHECK(has({Path("script"), Digest("script")}));
    const std::string shell = fs::canonical("/bin/sh");
    CHECK(std::any_of(found.begin(), found.end(), [&shell](const AllowedBinary& b) { return b.path == shell; }));
    CHECK(std::none_of(found.begin(), found.end(), [this](const AllowedBinary& b) {
      return b.path == Path("symbolic") || b.path == Path("other");
    }));
    if (HasMap()) {
      CHECK(std::any_of(found.begin(), found.end(), [](const AllowedBinary& b) { return b.path == Loader(); }));
    }
    CHECK_FALSE(policy.learned_truncated);
    CHECK_THAT(policy.degraded, Catch::Contains("1 files that ran were gone"));
  };
  const ObservedPolicy before = learned();
  check(before);
  Crash();
  Open();
  REQUIRE_OK(datapath().Apply(state));
  check(learned());

  // What was learned is a list that lets the same run.
  Policy list = Learn();
  list.id = kInnerId;
  list.learn = false;
  list.allowed = before.learned;
  Apply({list});
  CHECK(Succeeded(Run(Path("victim"))));
  CHECK(Succeeded(Run(Path("script"))));
  CHECK(Stopped(Run(Path("other"))));
}

TEST_CASE_METHOD(ListFixture, "who runs what a new list does not name is listed, and killed once if the order says so",
                 "[exec][list][running]") {
  const std::string sleeper = fs::exists("/bin/sleep") ? "/bin/sleep" : "/usr/bin/sleep";
  for (const char* name : {"listed", "by_content", "unlisted"}) {
    fs::copy_file(sleeper, Path(name));
    std::ofstream(Path(name), std::ios::app) << name;
  }
  const auto start = [this](const std::string& name) {
    const std::string path = Path(name);
    const pid_t pid = cgroup().Fork([&path] {
      execl(path.c_str(), "sleep", "600", nullptr);
      return 1;
    });
    std::error_code error;
    for (int i = 0; i < 500 && fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", error) != path; ++i)
      usleep(10000);
    usleep(100000);  // its libraries are mapped
    return pid;
  };
  const pid_t listed = start("listed");
  const pid_t by_content = start("by_content");
  const pid_t unlisted = start("unlisted");
  std::vector<AllowedBinary> binaries = {{Path("listed"), ""}, {"", Digest("by_content")}};
  if (!Hashes()) binaries.push_back({Path("by_content"), ""});
  // The C library and the loader, of sleep.
  for (const AllowedBinary& library : OwnLibraries()) binaries.push_back(library);
  Policy list = List(binaries);

  list.action = PolicyAction::kNotify;
  Apply({list});
  CHECK(Observe().policies[0].running == 1);
  list.action = PolicyAction::kDeny;
  Apply({list});
  ObservedPolicy observed = Observe().policies[0];
  CHECK(observed.running_pids == std::vector<uint32_t>{static_cast<uint32_t>(unlisted)});
  CHECK(observed.killed_running == 0);

  // The policy is in force already: an order for something else kills nobody.
  list.kill_running = true;
  Apply({list});
  CHECK(Observe().policies[0].running == 1);
  list.id = kInnerId;
  Apply({list});
  CHECK(Killed(test::WaitFor(unlisted)));
  observed = Observe().policies[0];
  CHECK(observed.running == 0);
  CHECK(observed.killed_running == 1);
  CHECK(kill(listed, 0) == 0);
  CHECK(kill(by_content, 0) == 0);

  // A listed program that is upgraded: who runs the old one is listed, and lives, also past a restart of the sensor.
  fs::copy_file(sleeper, Path("upgrade"));
  fs::rename(Path("upgrade"), Path("listed"));
  REQUIRE_OK(datapath().Maintain());
  CHECK(Observe().policies[0].running_pids == std::vector<uint32_t>{static_cast<uint32_t>(listed)});
  Crash();
  Open();
  Apply({list});
  CHECK(Observe().policies[0].running == 1);
  CHECK(kill(listed, SIGKILL) == 0);
  CHECK(kill(by_content, SIGKILL) == 0);
  test::WaitFor(listed);
  test::WaitFor(by_content);
}

TEST_CASE("a list starts where its policy had no such cgroup before") {
  const auto entry = [](uint64_t cgroup, uint8_t policy) {
    std::pair<uint64_t, bh_list> list{cgroup, {}};
    list.second.rule.policy.bytes[0] = policy;
    return list;
  };
  bh_policy_key one{};
  one.bytes[0] = 1;
  CHECK(StartedLists({}, {entry(7, 1)}) == std::set<std::string>{KeyText(one)});
  CHECK(StartedLists({entry(7, 1)}, {entry(7, 1)}).empty());
  CHECK(StartedLists({entry(7, 2)}, {entry(7, 1)}) == std::set<std::string>{KeyText(one)});  // replaced
  CHECK(StartedLists({entry(7, 1)}, {entry(8, 1)}) == std::set<std::string>{KeyText(one)});  // made anew
  CHECK(StartedLists({entry(7, 1)}, {}).empty());
}

TEST_CASE_METHOD(ListFixture, "a scope that holds the sensor is refused, and so is one outside its own scope",
                 "[exec][list]") {
  const Policy list = List({});
  const Scope host = ResolveScope("").value();
  const Scope own = ResolveScope(cgroup().path()).value();
  CHECK_CODE(CheckListScope(list, host), kOk);
  // A child in the scope stands for a sensor there.
  CHECK(Succeeded(
      test::WaitFor(cgroup().Fork([&] { return absl::IsFailedPrecondition(CheckListScope(list, host)) ? 0 : 1; }))));
  Policy outside = list;
  outside.scope->name = "/bulkhead-elsewhere";
  CHECK_CODE(CheckListScope(outside, own), kFailedPrecondition);
  CHECK_CODE(FirstRefusal(State({outside}), DesiredState()), kFailedPrecondition);
}

}  // namespace
}  // namespace bulkhead::sensor
