// From the moment an operator presses Enter to the moment the kernel obeys.
#include "deploy/quickstart/measure.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

namespace bulkhead::tour {
namespace {

constexpr int kLimitMillis = 10'000;
constexpr int kExitNotSeen = 1;
constexpr int kExitCommandFailed = 2;
// Short enough not to blur the figure, long enough to leave the processor to those who do the work.
constexpr useconds_t kPauseMicros = 200;

pid_t Start(const std::vector<std::string>& command) {
  const pid_t child = fork();
  if (child != 0) return child;
  dup2(STDERR_FILENO, STDOUT_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  perror(arguments[0]);
  _exit(127);
}

bool Succeeded(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Prints the figure or says what is missing.
int Report(bool command_ok, bool seen, double millis) {
  if (!command_ok) {
    fputs("the command failed\n", stderr);
    return kExitCommandFailed;
  }
  if (!seen) {
    fprintf(stderr, "the wanted outcome was not seen within %d ms\n", kLimitMillis);
    return kExitNotSeen;
  }
  printf("%.1f\n", millis);
  return 0;
}

// In the child: tries until the outcome is the wanted one, and writes the moment of that attempt's start.
[[noreturn]] void TryUntil(const std::string& cgroup, bool wanted_open, const std::function<Outcome()>& attempt,
                           int ready, int moment) {
  if (!cgroup.empty() && !EnterCgroup(cgroup)) {
    perror(cgroup.c_str());
    _exit(1);
  }
  // The state before is part of the claim: an attempt that already has the wanted outcome would measure nothing.
  if (attempt().open == wanted_open) {
    fputs("the wanted outcome was there before the command\n", stderr);
    _exit(1);
  }
  if (write(ready, "r", 1) != 1) _exit(1);
  const double until = NowMillis() + kLimitMillis;
  while (NowMillis() < until) {
    const double began = NowMillis();
    if (attempt().open == wanted_open) _exit(write(moment, &began, sizeof(began)) == sizeof(began) ? 0 : 1);
    usleep(kPauseMicros);
  }
  _exit(1);
}

}  // namespace

bool EnterCgroup(const std::string& directory) {
  const int fd = open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool moved = write(fd, "0", 1) == 1;
  const int error = errno;
  close(fd);
  errno = error;
  return moved;
}

int MeasureAttempt(const std::string& cgroup, bool wanted_open, const std::function<Outcome()>& attempt,
                   const std::vector<std::string>& command) {
  int ready[2];
  int moment[2];
  if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(moment, O_CLOEXEC) != 0) return kExitNotSeen;
  const pid_t prober = fork();
  if (prober == 0) TryUntil(cgroup, wanted_open, attempt, ready[1], moment[1]);
  close(ready[1]);
  close(moment[1]);
  char go = 0;
  if (prober < 0 || read(ready[0], &go, 1) != 1) return kExitNotSeen;
  const double called = NowMillis();
  const bool command_ok = Succeeded(Start(command));
  if (!command_ok) kill(prober, SIGKILL);
  double seen_at = 0;
  const bool seen = read(moment[0], &seen_at, sizeof(seen_at)) == static_cast<ssize_t>(sizeof(seen_at));
  Succeeded(prober);
  return Report(command_ok, seen, seen_at - called);
}

int MeasureExit(pid_t pid, const std::vector<std::string>& command) {
  const int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (process < 0) {
    perror("pidfd_open");
    return kExitNotSeen;
  }
  const double called = NowMillis();
  const pid_t running = Start(command);
  pollfd watched{process, POLLIN, 0};
  const bool seen = poll(&watched, 1, kLimitMillis) == 1;
  const double gone_at = NowMillis();
  return Report(Succeeded(running), seen, gone_at - called);
}

}  // namespace bulkhead::tour
