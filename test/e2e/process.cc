// Programs that a test runs: to their end, or beside it.
#include "e2e/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace bulkhead::e2e {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(50);

// What execvp takes, made before the fork: the child of a program with threads must not allocate, because one of them
// may hold the allocator's lock.
std::vector<char*> Words(const Arguments& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  return words;
}

[[noreturn]] void Execute(const std::vector<char*>& words) {
  execvp(words[0], words.data());
  _exit(127);
}

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// An unnamed file with this content, read from its start.
int FileWith(const std::string& content) {
  char name[] = "/tmp/bulkhead-e2e-input-XXXXXX";
  const int fd = mkstemp(name);
  if (fd < 0) throw std::runtime_error("mkstemp failed");
  unlink(name);
  if (write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    throw std::runtime_error("write failed");
  lseek(fd, 0, SEEK_SET);
  return fd;
}

// Reads both pipes until both ends are closed or `deadline` passes.
void Collect(int out, int err, Result* result, std::chrono::steady_clock::time_point deadline) {
  pollfd pipes[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* sinks[2] = {&result->out, &result->err};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || poll(pipes, 2, static_cast<int>(left.count())) <= 0) return;
    for (int i = 0; i < 2; ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      char data[65536];
      const ssize_t got = read(pipes[i].fd, data, sizeof(data));
      if (got > 0) {
        sinks[i]->append(data, static_cast<size_t>(got));
      } else {
        pipes[i].fd = -1;
      }
    }
  }
}

}  // namespace

Result Run(const Arguments& command, const std::string& input, std::chrono::seconds limit) {
  const int in = FileWith(input);
  int out[2];
  int err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  const std::vector<char*> words = Words(command);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in, STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    Execute(words);
  }
  close(in);
  close(out[1]);
  close(err[1]);
  Result result;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Collect(out[0], err[0], &result, deadline);
  if (std::chrono::steady_clock::now() >= deadline) kill(child, SIGKILL);
  close(out[0]);
  close(err[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = ExitCode(status);
  return result;
}

Daemon::Daemon(const Arguments& command, const std::string& log) {
  const pid_t parent = getpid();
  const std::vector<char*> words = Words(command);
  pid_ = fork();
  if (pid_ != 0) return;
  // A test that crashes must not leave a sensor or a database behind.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  Execute(words);
}

Daemon::~Daemon() {
  Stop();
}

int Daemon::Wait(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    int status = 0;
    if (pid_ < 0) return exit_code_;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = ExitCode(status);
      pid_ = -1;
      return exit_code_;
    }
    if (std::chrono::steady_clock::now() >= deadline) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool Daemon::Running() {
  Wait(std::chrono::milliseconds(0));
  return pid_ >= 0;
}

int Daemon::Stop() {
  if (!Running()) return exit_code_;
  kill(pid_, SIGTERM);
  Wait(std::chrono::seconds(20));
  if (pid_ >= 0) Kill();
  return exit_code_;
}

void Daemon::Kill() {
  if (!Running()) return;
  kill(pid_, SIGKILL);
  Wait(std::chrono::seconds(10));
}

bool Eventually(std::chrono::seconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  bind(fd, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

std::string MakeTempDirectory() {
  char name[] = "/tmp/bulkhead-e2e-XXXXXX";
  if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp failed");
  chmod(name, 0755);
  return name;
}

}  // namespace bulkhead::e2e
