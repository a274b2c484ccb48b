// The tour's traffic driver: real packets, connections and executions, one subcommand for each.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "deploy/quickstart/attempt.h"
#include "deploy/quickstart/echo_server.h"
#include "deploy/quickstart/measure.h"

namespace bulkhead::tour {
namespace {

constexpr int kTimeoutMillis = 400;
constexpr int kHoldPauseMicros = 20'000;
constexpr int kExitUsage = 64;

constexpr char kUsage[] =
    "usage: bulkhead-tour-probe [--cgroup DIR] COMMAND\n"
    "  serve PORT                                    TCP and UDP echo, IPv4 and IPv6, until ended\n"
    "  try tcp|udp|icmp ADDRESS PORT                 one attempt; prints \"open MS\" or \"cut MS WHY\"; exit code 0 or "
    "1\n"
    "  try exec PATH                                 one execution, likewise\n"
    "  hold ADDRESS PORT                             holds one TCP connection; prints a line whenever it changes\n"
    "  measure open|cut send ADDRESS PORT -- CMD...  milliseconds from the start of CMD until the kernel takes or "
    "refuses a datagram\n"
    "  measure open|cut udp ADDRESS PORT -- CMD...   likewise, until a datagram is answered or not\n"
    "  measure open|cut exec PATH -- CMD...          likewise, for an execution\n"
    "  measure-exit PID -- CMD...                    likewise, until the process is gone\n"
    "With --cgroup, attempts are made from inside that cgroup; CMD runs outside.\n";

int Usage() {
  fputs(kUsage, stderr);
  return kExitUsage;
}

int Print(const Outcome& outcome) {
  printf("%s %.2f%s%s\n", outcome.open ? "open" : "cut", outcome.millis, outcome.detail.empty() ? "" : " ",
         outcome.detail.c_str());
  fflush(stdout);
  return outcome.open ? 0 : 1;
}

using Words = std::vector<std::string>;

bool Enter(const std::string& cgroup) {
  if (cgroup.empty() || EnterCgroup(cgroup)) return true;
  perror(cgroup.c_str());
  return false;
}

int Try(const std::string& cgroup, const Words& words) {
  if (words.size() < 2 || !Enter(cgroup)) return Usage();
  if (words[0] == "exec") return Print(TryExec(words[1]));
  Destination to;
  if (words.size() != 3 || !ParseDestination(words[1], atoi(words[2].c_str()), &to)) return Usage();
  if (words[0] == "tcp") return Print(TryTcp(to, kTimeoutMillis));
  if (words[0] == "udp") return Print(TryUdp(to, kTimeoutMillis));
  return words[0] == "icmp" ? Print(TryIcmp(to, kTimeoutMillis)) : Usage();
}

// Goes on trying on the same connection after it was cut: whether it recovers is part of the answer.
int Hold(const std::string& cgroup, const Words& words) {
  Destination to;
  if (words.size() != 2 || !ParseDestination(words[0], atoi(words[1].c_str()), &to) || !Enter(cgroup)) return Usage();
  const int connection = ConnectTcp(to, kTimeoutMillis);
  if (connection < 0) {
    perror("connect");
    return 1;
  }
  std::string last;
  for (;;) {
    const Outcome now = TryEcho(connection, kTimeoutMillis);
    const std::string state = now.open ? "open" : "cut " + now.detail;
    if (state != last) {
      puts(state.c_str());
      fflush(stdout);
      last = state;
    }
    usleep(kHoldPauseMicros);
  }
}

// The words before "--", and those after it.
bool SplitCommand(const Words& words, Words* before, Words* command) {
  size_t i = 0;
  while (i < words.size() && words[i] != "--") before->push_back(words[i++]);
  if (i < words.size()) command->assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
  return !command->empty();
}

int Measure(const std::string& cgroup, const Words& words) {
  Words what;
  Words command;
  if (!SplitCommand(words, &what, &command) || what.size() < 3) return Usage();
  const bool open = what[0] == "open";
  if (!open && what[0] != "cut") return Usage();
  if (what[1] == "exec") {
    const std::string path = what[2];
    return MeasureAttempt(
        cgroup, open, [path] { return TryExec(path); }, command);
  }
  Destination to;
  if (what.size() != 4 || !ParseDestination(what[2], atoi(what[3].c_str()), &to)) return Usage();
  if (what[1] == "udp")
    return MeasureAttempt(
        cgroup, open, [to] { return TryUdp(to, kTimeoutMillis); }, command);
  if (what[1] != "send") return Usage();
  // The socket is opened on the first attempt, inside the cgroup: a socket belongs to the cgroup it was created in.
  int fd = -1;
  return MeasureAttempt(
      cgroup, open,
      [to, fd]() mutable {
        if (fd < 0) fd = socket(to.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return TrySend(fd, to);
      },
      command);
}

int MeasureProcess(const Words& words) {
  Words what;
  Words command;
  if (!SplitCommand(words, &what, &command) || what.size() != 1) return Usage();
  return MeasureExit(atoi(what[0].c_str()), command);
}

int Run(Words words) {
  std::string cgroup;
  if (words.size() >= 2 && words[0] == "--cgroup") {
    cgroup = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.empty()) return Usage();
  const std::string verb = words[0];
  words.erase(words.begin());
  if (verb == "serve" && words.size() == 1) return Enter(cgroup) ? ServeEcho(atoi(words[0].c_str())) : 1;
  if (verb == "try") return Try(cgroup, words);
  if (verb == "hold") return Hold(cgroup, words);
  if (verb == "measure") return Measure(cgroup, words);
  if (verb == "measure-exit") return MeasureProcess(words);
  return Usage();
}

}  // namespace
}  // namespace bulkhead::tour

int main(int argc, char** argv) {
  return bulkhead::tour::Run({argv + 1, argv + argc});
}
