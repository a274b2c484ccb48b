// Both ends of the stand-in: the parent's, and the hidden test case that the child runs.
#include "test/guard/stand_in.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "sensor/kernel/guard/tamper_guard.h"
#include "test/guard/rule_set_fixture.h"

namespace bulkhead::sensor {
namespace {

constexpr char kDirectory[] = "STAND_IN_PINS";
constexpr char kTree[] = "STAND_IN_TREE";
constexpr char kTold[] = "STAND_IN_TOLD";
constexpr int kWords = 8, kAnswers = 9;  // descriptors; a shell takes one digit only

std::string Text(const absl::Status& status) {
  return status.ok() ? "ok" : status.ToString();
}

class Sensor {
 public:
  std::string Obey(const std::string& word) {
    const auto found = words_.find(word);
    return found == words_.end() ? absl::StrCat("no such word: ", word) : found->second();
  }

 private:
  std::string Open() {
    auto opened = KernelTamperGuard::Open(
        {.pin_directory = directory_, .files = {}, .trees = {tree_, directory_}, .told = told_});
    if (!opened.ok()) return Text(opened.status());
    guard_ = *std::move(opened);
    return "ok";
  }

  std::string Up() {
    const auto found = guard_->Read();
    return found.ok() ? (found->up() ? "up" : "down") : Text(found.status());
  }

  std::string Maintain() {
    const auto repaired = guard_->Maintain();
    if (!repaired.ok()) return Text(repaired.status());
    return repaired->empty() ? "ok" : repaired->front();
  }

  std::string Counters() {
    const auto counters = guard_->Counters();
    if (!counters.ok()) return Text(counters.status());
    std::string text;
    for (const Counter& counter : *counters) {
      if (counter.value > 0) absl::StrAppend(&text, counter.name, "=", counter.value, " ");
    }
    return text;
  }

  // A file that the guard did not know when it was enabled, as code.
  std::string MapForeign() {
    const UniqueFd file(open("/usr/bin/busybox", O_RDONLY | O_CLOEXEC));
    void* const code = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0);
    if (code == MAP_FAILED) return std::strerror(errno);
    munmap(code, 4096);
    return "ok";
  }

  std::string directory_ = std::getenv(kDirectory), tree_ = std::getenv(kTree);
  const std::string told_ = std::getenv(kTold) != nullptr ? std::getenv(kTold) : "";
  std::unique_ptr<KernelTamperGuard> guard_;
  const std::map<std::string, std::function<std::string()>> words_ = {
      {"open", [this] { return Open(); }},
      {"enable", [this] { return Text(guard_->Enable()); }},
      {"lower", [this] { return Text(guard_->Lower(absl::Seconds(60))); }},
      {"raise", [this] { return Text(guard_->Lower(absl::ZeroDuration())); }},
      {"disable", [this] { return Text(guard_->Disable()); }},
      {"maintain", [this] { return Maintain(); }},
      {"prove", [this] { return Text(guard_->Prove()); }},
      {"up", [this] { return Up(); }},
      {"counters", [this] { return Counters(); }},
      {"publish-wall", [this] { return PublishWalls(directory_, BH_WALL_ENFORCE), "ok"; }},
      {"publish-none", [this] { return PublishWalls(directory_, BH_WALL_OFF), "ok"; }},
      {"map-foreign", [this] { return MapForeign(); }},
      {"state", [this] { return std::ofstream(tree_ + "/state") << "new" ? "ok" : std::strerror(errno); }},
  };
};

}  // namespace

StandIn::StandIn(const std::string& cgroup, const std::string& pin_directory, const std::string& tree, Starter starter,
                 const std::string& environment) {
  signal(SIGPIPE, SIG_IGN);  // a stand-in that is gone answers nothing
  int words[2], answers[2];
  REQUIRE(pipe2(words, O_CLOEXEC) == 0);
  REQUIRE(pipe2(answers, O_CLOEXEC) == 0);
  to_.Reset(words[1]);
  from_.Reset(answers[0]);
  const std::string program = std::filesystem::canonical("/proc/self/exe").string();
  // The shell writes its own number into the cgroup and becomes the stand-in. Waiting lets process 1 become its parent.
  const std::string script =
      absl::StrCat(starter == kByInit ? "sleep 1; " : "", "echo $$ > ", cgroup, "/cgroup.procs; echo $$ >&", kAnswers,
                   "; exec env ", environment, " ", program, " '[.stand_in]'");
  const pid_t child = fork();
  if (child == 0) {
    if (starter == kByInit && fork() != 0) _exit(0);
    const int from = fcntl(words[0], F_DUPFD_CLOEXEC, 20), to = fcntl(answers[1], F_DUPFD_CLOEXEC, 20);
    dup2(from, kWords);
    dup2(to, kAnswers);
    setenv(kDirectory, pin_directory.c_str(), 1);
    setenv(kTree, tree.c_str(), 1);
    execl("/usr/bin/dash", "sh", "-c", script.c_str(), nullptr);
    _exit(127);
  }
  close(words[0]);
  close(answers[1]);
  if (starter == kByInit) waitpid(child, nullptr, 0);
  pid_ = std::atoi(ReadLine().c_str());
  REQUIRE(pid_ > 0);
}

StandIn::~StandIn() {
  if (pid_ < 0) return;
  to_.Reset();
  Wait();
}

std::string StandIn::Say(const std::string& word) {
  const std::string line = word + "\n";
  if (write(to_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) return "";
  return ReadLine();
}

std::string StandIn::ReadLine() {
  std::string line;
  char next;
  while (read(from_.get(), &next, 1) == 1 && next != '\n') line += next;
  return line;
}

void StandIn::Wait() {
  for (int tenths = 0; tenths < 100 && kill(pid_, 0) == 0; ++tenths) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) break;  // not our child when process 1 started it
    usleep(100000);
  }
  pid_ = -1;
}

// Not a test: what the child does. Ends when the parent closes the pipe or says exit.
TEST_CASE("stand-in for the sensor", "[.stand_in]") {
  Sensor sensor;
  std::string word;
  char next;
  while (read(kWords, &next, 1) == 1) {
    if (next != '\n') {
      word += next;
      continue;
    }
    if (word == "exit") break;
    std::string answer = sensor.Obey(word);
    std::replace(answer.begin(), answer.end(), '\n', ' ');
    answer += '\n';
    if (write(kAnswers, answer.data(), answer.size()) < 0) break;
    word.clear();
  }
  _exit(0);
}

}  // namespace bulkhead::sensor
