// leak_agent: the contained host's side of a leak run. Reads one command a line, answers one line each.
//
//   leak_agent [--device FILE] [--scope CGROUP] [--wall bulkhead|nftables|connect-hook]
//
// Commands come on standard input, or on a serial line.
//
// layers | probes | order open|contain|isolate | start PROBE PORT TOKEN | try PROBE PORT TOKEN | stop PROBE
// Several probes may be between start and stop at the same time.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"
#include "test/leak/cgroups.h"
#include "test/leak/probe.h"
#include "test/leak/wall.h"

namespace bulkhead::leak {
namespace {

constexpr int kAnswerMilliseconds = 30'000;

ProbeTable AllProbes() {
  ProbeTable table;
  for (auto* add :
       {AddStreamProbes, AddDatagramProbes, AddRawProbes, AddPacketProbes, AddXdpProbes, AddUringProbes,
        AddProcessProbes, AddDetourProbes, AddInFrontProbes, AddBehindProbes, AddSignallingProbes, AddInboundProbes}) {
    add(table);
  }
  return table;
}

std::string InWords(const absl::Status& status) {
  return absl::StrReplaceAll(status.ok() ? "ok" : absl::StrCat("error ", status.ToString()), {{"\n", " "}});
}

// The next line; nothing at the end of input or after `milliseconds` (-1: waits for ever).
std::optional<std::string> ReadLine(int fd, int milliseconds) {
  std::string line;
  pollfd waiting = {fd, POLLIN, 0};
  while (poll(&waiting, 1, milliseconds) > 0) {
    char c = 0;
    if (read(fd, &c, 1) != 1) break;
    if (c == '\n') return line;
    line.push_back(c);
  }
  return std::nullopt;
}

std::string Answer(int fd) {
  return ReadLine(fd, kAnswerMilliseconds).value_or("error the probe's process gave no answer");
}

// False: nobody reads any more.
bool WriteLine(int fd, const std::string& line) {
  const std::string text = line + "\n";
  return write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Shot ReadShot(std::istream& words) {
  Shot shot;
  words >> shot.port >> shot.token;
  return shot;
}

// A probe in a process of its own, inside the scope. The process ends with its end of the socket pair.
class Attacker {
 public:
  ~Attacker() { Stop(); }

  std::string Start(const ProbeFactory& make, const std::string& scope, const Shot& shot) {
    Stop();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return InWords(ErrnoToStatus(errno, "socketpair"));
    ours_.Reset(ends[0]);
    UniqueFd theirs(ends[1]);
    child_ = fork();
    if (child_ == 0) {
      ours_.Reset();
      Serve(make(), scope.empty() ? CgroupRoot() : scope, shot, theirs.get());
    }
    theirs.Reset();
    return Answer(ours_.get());
  }

  std::string Try(const Shot& shot) {
    if (child_ <= 0) return "error no probe was started";
    // Not WriteLine: the order may have had the process killed.
    const std::string line = absl::StrCat(shot.port, " ", shot.token, "\n");
    if (send(ours_.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return "error the probe's process is gone";
    return Answer(ours_.get());
  }

  void Stop() {
    if (child_ <= 0) return;
    shutdown(ours_.get(),
             SHUT_RDWR);  // the probe cleans up and ends; closing is not enough, later probes inherited a copy
    ours_.Reset();
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  // Runs in the child, which starts in the sensor's cgroup.
  [[noreturn]] static void Serve(std::unique_ptr<Probe> probe, const std::string& cgroup, const Shot& shot, int fd) {
    absl::Status status = EnterCgroup(cgroup);
    if (status.ok()) status = probe->Prepare(shot);
    WriteLine(fd, InWords(status));
    while (const std::optional<std::string> line = ReadLine(fd, -1)) {
      std::istringstream words(*line);
      if (!WriteLine(fd, InWords(probe->Attempt(ReadShot(words))))) break;
    }
    probe.reset();  // takes back what it did to the host
    _exit(0);
  }

  pid_t child_ = -1;
  UniqueFd ours_;
};

absl::StatusOr<std::unique_ptr<Wall>> OpenWall(const std::string& kind, const std::string& scope) {
  if (kind == "nftables") return OpenNftablesWall();
  if (kind == "connect-hook") return OpenConnectHookWall();
  return OpenBulkheadWall(scope);
}

// Carries out commands until the end of input. Returns the exit status.
int Serve(int in, int out, const std::string& kind, const std::string& scope) {
  const ProbeTable probes = AllProbes();
  absl::StatusOr<std::unique_ptr<Wall>> wall = OpenWall(kind, scope);
  if (!wall.ok()) {
    WriteLine(out, InWords(wall.status()));
    return 1;
  }
  WriteLine(out, "ready");
  std::map<std::string, Attacker> attackers;
  while (const std::optional<std::string> line = ReadLine(in, -1)) {
    if (*line == "quit") break;
    std::istringstream words(*line);
    std::string verb, name;
    words >> verb;
    if (verb == "layers") {
      WriteLine(out, (*wall)->Layers());
    } else if (verb == "probes") {
      std::string names;
      for (const auto& [probe, make] : probes) absl::StrAppend(&names, probe, " ");
      WriteLine(out, names);
    } else if (verb == "order" && words >> name) {
      WriteLine(out, InWords((*wall)->Order(name)));
    } else if (verb == "start" && words >> name && probes.count(name) == 1) {
      WriteLine(out, attackers[name].Start(probes.at(name), scope, ReadShot(words)));
    } else if (verb == "try" && words >> name) {
      WriteLine(out, attackers[name].Try(ReadShot(words)));
    } else if (verb == "stop" && words >> name) {
      attackers.erase(name);
      RemoveElsewhereCgroup();
      WriteLine(out, "ok");
    } else if (!verb.empty()) {
      WriteLine(out, absl::StrCat("error unknown command: ", *line));
    }
  }
  return 0;
}

int Main(int argc, char** argv) {
  std::string device, scope, kind = "bulkhead";
  CLI::App app("The contained host's side of a leak run");
  app.add_option("--device", device, "serial line that carries the commands");
  app.add_option("--scope", scope, "cgroup to contain; the whole host without it");
  app.add_option("--wall", kind, "what to try")->check(CLI::IsMember({"bulkhead", "nftables", "connect-hook"}));
  CLI11_PARSE(app, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, SIG_IGN);  // ends with its input, after the wall was taken down
  if (device.empty()) return Serve(STDIN_FILENO, STDOUT_FILENO, kind, scope);
  const UniqueFd line(open(device.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios raw{};
  if (!line.valid() || tcgetattr(line.get(), &raw) != 0) return perror(device.c_str()), 1;
  cfmakeraw(&raw);
  tcsetattr(line.get(), TCSANOW, &raw);
  return Serve(line.get(), line.get(), kind, scope);
}

}  // namespace
}  // namespace bulkhead::leak

int main(int argc, char** argv) {
  return bulkhead::leak::Main(argc, argv);
}
