// A cgroup v2 of a test's own.
#include "harness/cgroup_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace bulkhead::test {
namespace {

constexpr int kNotPermitted = 126;
constexpr int kOtherError = 127;

std::string FindCgroup2() {
  std::ifstream mounts("/proc/self/mounts");
  std::string device, where, type, rest;
  while (mounts >> device >> where >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return where;
  }
  throw std::runtime_error("no cgroup v2 hierarchy is mounted");
}

bool WriteText(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

std::string NewPath() {
  static std::atomic<int> count{0};
  return FindCgroup2() + "/bulkhead-test-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

}  // namespace

CgroupSandbox::CgroupSandbox() : CgroupSandbox(NewPath()) {}

CgroupSandbox::CgroupSandbox(const std::string& path) : path_(path) {
  if (mkdir(path_.c_str(), 0755) != 0) throw std::runtime_error("make " + path_ + ": " + std::strerror(errno));
}

CgroupSandbox::~CgroupSandbox() {
  WriteText(path_ + "/cgroup.kill", "1");
  // A process leaves its cgroup a moment after it has ended.
  for (int i = 0; i < 500 && rmdir(path_.c_str()) != 0 && errno == EBUSY; ++i) usleep(2000);
}

pid_t CgroupSandbox::Fork(const std::function<int()>& body) const {
  const std::string procs = path_ + "/cgroup.procs";
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) _exit(WriteText(procs, "0") ? body() : kOtherError);
  return pid;
}

int CgroupSandbox::Execute(const std::string& file, const std::vector<std::string>& arguments) const {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return WaitFor(Fork([&] {
    execv(file.c_str(), argv.data());
    return errno == EPERM ? kNotPermitted : kOtherError;
  }));
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace bulkhead::test
