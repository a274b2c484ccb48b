// exec_agent: runs every route of the exec matrix and prints what came of each.
//
//   exec_agent --victims DIRECTORY [--scoped] [--only NAME]...    host-wide, or confined to a cgroup of its own
//
// A line of JSON, after "EXEC ", for each route and order. Orders: "open" (nothing is blocked), "path" (--path, DENY),
// "content"
// (--sha256, DENY; only where the kernel can hash), "hook" (the yardstick's path match). A route has run when the
// blocked file's own code wrote its token.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/hex.h"
#include "harness/cgroup_sandbox.h"
#include "harness/temp_dir.h"
#include "sensor/kernel/kernel.h"
#include "test/leak/exec/exec_hook.h"
#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

namespace fs = std::filesystem;

constexpr int kTokenFd = 9;
constexpr int kPrepared = 0;
constexpr int kRouteMillis = 60'000;

struct Outcome {
  bool ran = false;
  std::string said;
};

Routes AllRoutes() {
  Routes routes;
  for (auto* add : {AddMapRoutes, AddLibraryRoutes, AddScriptRoutes, AddContentRoutes, AddStorageRoutes, AddFuseRoutes,
                    AddNameRoutes, AddEntryRoutes, AddCallerRoutes, AddKernelRoutes}) {
    add(routes);
  }
  return routes;
}

const char* FileOf(Victim victim) {
  switch (victim) {
    case Victim::kStatic:
      return "victim_static";
    case Victim::kDynamic:
      return "victim";
    case Victim::kLibrary:
      return "libvictim.so";
    case Victim::kScript:
      return "victim.sh";
    case Victim::kStaticPie:
      return "victim_pie";
    case Victim::k32Bit:
      return "victim_32";
    case Victim::kForeign:
      return "victim.foreign";
  }
  return "";
}

std::string InWords(int status) {
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGKILL ? "killed" : absl::StrCat("signal ", WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  if (code == 0) return "ended";
  if (code == EPERM) return "EPERM";
  return code < 128 ? std::strerror(code) : absl::StrCat("exit ", code);
}

class Agent {
 public:
  Agent(std::string victims, bool scoped) : victims_(std::move(victims)) {
    if (scoped) cgroup_.emplace();
    options_.scope = scoped ? cgroup_->path() : "";
    options_.pin_key = "exec-matrix";
  }
  ~Agent() {
    datapath_.reset();
    sensor::RemoveDatapath(options_).IgnoreError();
  }

  absl::Status Open() {
    sensor::RemoveDatapath(options_).IgnoreError();
    auto opened = sensor::OpenDatapath(options_);
    if (!opened.ok()) return opened.status();
    datapath_ = std::move(*opened);
    auto hook = ExecHook::Open(options_.scope);
    if (!hook.ok()) return hook.status();
    hook_ = std::move(*hook);
    std::string layers;
    for (const sensor::Mechanism& mechanism : datapath_->capabilities().mechanisms) {
      if (mechanism.available) absl::StrAppend(&layers, layers.empty() ? "" : " ", mechanism.name);
      hashes_ = hashes_ || (mechanism.available && mechanism.name == "exec_digest");
    }
    std::cout << "LAYERS " << layers << std::endl;
    return absl::OkStatus();
  }

  // OK when every order could be given; what came of them is printed.
  absl::Status RunAll(const std::vector<std::string>& only) {
    for (const Route& route : AllRoutes()) {
      if (route.whole_host && cgroup_.has_value()) continue;
      if (!only.empty() && std::find(only.begin(), only.end(), route.name) == only.end()) continue;
      for (const std::string order : {"open", "path", "content", "hook"}) {
        if (order == "content" && !hashes_) continue;
        const absl::StatusOr<Outcome> outcome = Try(route, order);
        if (!outcome.ok()) return outcome.status();
        std::cout << absl::StrFormat(R"(EXEC {"name": "%s", "title": "%s", "order": "%s", "ran": %s, "said": "%s"})",
                                     route.name, route.title, order, outcome->ran ? "true" : "false", outcome->said)
                  << std::endl;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Order(const std::string& order, const Place& place) {
    sensor::DesiredState state;
    state.sensor_id = "exec-matrix";
    state.generation = ++generation_;
    state.digest[0] = static_cast<uint8_t>(generation_);
    state.digest[1] = 1;
    hook_->Kill(order == "hook" ? place.victim : "");
    if (order == "path" || order == "content") {
      sensor::Policy policy;
      policy.id = absl::StrFormat("00000000-0000-4000-8000-%012d", generation_);
      policy.policy_template = sensor::PolicyTemplate::kBlockBinary;
      policy.action = sensor::PolicyAction::kDeny;
      if (order == "path") policy.binary_path = place.victim;
      if (order == "content") policy.binary_sha256 = Sha256(ReadAll(place.victim));
      state.policies.push_back(policy);
    }
    return datapath_->Apply(state);
  }

  absl::StatusOr<Outcome> Try(const Route& route, const std::string& order) {
    const test::TempDir directory;
    Place place{directory.path(), absl::StrCat(directory.path(), "/", FileOf(route.victim)),
                directory.path() + "/harmless"};
    if (Copy(victims_ + "/" + FileOf(route.victim), place.victim) != 0 ||
        Copy(victims_ + "/victim_static", place.harmless) != 0) {
      return absl::NotFoundError("no victim in " + victims_);
    }
    MakeHarmless(place.harmless);
    const absl::Status opened = Order("open", place);
    if (!opened.ok()) return opened;
    rmdir(kTokenDirectory);
    int token[2], ready[2], go[2];
    if (pipe2(token, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(ready, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
      return absl::InternalError("pipe");
    const auto body = [&] {
      close(ready[0]);
      close(go[1]);
      dup2(token[1], kTokenFd);
      return Child(route, &place, ready[1], go[0]);
    };
    const pid_t pid = cgroup_.has_value() ? cgroup_->Fork(body) : ForkHere(body);
    close(ready[1]);
    close(go[0]);
    close(token[1]);
    char prepared = -1;
    if (read(ready[0], &prepared, 1) != 1) prepared = -1;
    const absl::Status ordered = Order(order, place);
    close(go[1]);
    Outcome outcome{false, prepared == kPrepared ? Wait(pid) : absl::StrCat("not prepared: ", std::strerror(prepared))};
    if (prepared != kPrepared) Wait(pid);
    char text[8] = "";
    outcome.ran = read(token[0], text, sizeof(text)) > 0 || rmdir(kTokenDirectory) == 0;
    close(token[0]);
    close(ready[0]);
    if (!ordered.ok()) return ordered;
    return outcome;
  }

  static pid_t ForkHere(const std::function<int()>& body) {
    std::cout.flush();
    const pid_t pid = fork();
    if (pid == 0) _exit(body());
    return pid;
  }

  // The same program, whose write goes to a closed descriptor, and which has no directory to make.
  static void MakeHarmless(const std::string& path) {
    std::string content = ReadAll(path);
    const size_t token = content.find("RAN");
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    // mov $9, %edi: the descriptor becomes 99.
    const size_t descriptor = content.find(std::string("\xbf\x09\x00\x00\x00", 5));
    const size_t directory = content.find(kTokenDirectory);
    if (token == std::string::npos || descriptor == std::string::npos || directory == std::string::npos || fd < 0)
      std::abort();
    content[descriptor + 1] = 99;
    content[directory] = 0;
    if (pwrite(fd, content.data(), content.size(), 0) < 0) std::abort();
    close(fd);
  }

  static int Child(const Route& route, Place* place, int ready, int go) {
    // Mounts of a route are its own and go with it.
    char error = kPrepared;
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      error = static_cast<char>(errno);
    if (error == kPrepared && route.before) error = static_cast<char>(route.before(*place));
    if (write(ready, &error, 1) != 1 || error != kPrepared) return 125;
    char unused;
    while (read(go, &unused, 1) < 0 && errno == EINTR) {
    }
    return route.attempt(*place);
  }

  static std::string Wait(pid_t pid) {
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    pollfd wait{pidfd, POLLIN, 0};
    const bool ended = poll(&wait, 1, kRouteMillis) == 1;
    if (!ended) kill(pid, SIGKILL);
    close(pidfd);
    int status = 0;
    waitpid(pid, &status, 0);
    return ended ? InWords(status) : "did not end";
  }

  const std::string victims_;
  std::optional<test::CgroupSandbox> cgroup_;
  sensor::DatapathOptions options_;
  std::unique_ptr<sensor::Datapath> datapath_;
  std::unique_ptr<ExecHook> hook_;
  uint64_t generation_ = 0;
  bool hashes_ = false;
};

int Main(int argc, char** argv) {
  std::string victims;
  std::vector<std::string> only;
  bool scoped = false;
  CLI::App app("Every route of the exec matrix");
  app.add_option("--victims", victims, "directory of the programs to block")->required();
  app.add_option("--only", only, "these routes");
  app.add_flag("--scoped", scoped, "in a cgroup of its own instead of host-wide");
  CLI11_PARSE(app, argc, argv);
  Agent agent(victims, scoped);
  absl::Status status = agent.Open();
  if (status.ok()) status = agent.RunAll(only);
  if (!status.ok()) std::cerr << "exec_agent: " << status << "\n";
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace bulkhead::leak

int main(int argc, char** argv) {
  return bulkhead::leak::Main(argc, argv);
}
