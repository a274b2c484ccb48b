// The child process of a probe. Between fork and exit it calls nothing but system calls: the parent may have threads.
#include "sensor/kernel/probe_child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead::sensor {
namespace {

constexpr int kSetupFailed = 255;  // no errno is as large
constexpr int kReceiveMillis = 50;
constexpr int kEndMillis = 5000;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool RaiseLoopback() {
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0 && close(fd) == 0;
}

bool BindAnywhere(int fd, sockaddr_in* address) {
  *address = Loopback(0);
  socklen_t size = sizeof(*address);
  auto* generic = reinterpret_cast<sockaddr*>(address);
  return bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
}

int SendUdp(bool receive) {
  sockaddr_in address;
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || !BindAnywhere(fd, &address)) return kSetupFailed;
  if (sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 1) return errno;
  if (!receive) return 0;
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, kReceiveMillis) == 1 ? 0 : ETIMEDOUT;
}

int ConnectTcp() {
  const sockaddr_in address = Loopback(1);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return kSetupFailed;
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

int AcceptTcp() {
  sockaddr_in address;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || fd < 0 || !BindAnywhere(listener, &address) || listen(listener, 1) != 0) return kSetupFailed;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return errno;
  return accept(listener, nullptr, nullptr) < 0 ? errno : 0;
}

int ExecFile() {
  char* const arguments[] = {const_cast<char*>("true"), nullptr};
  for (const char* path : {"/bin/true", "/usr/bin/true", "/bin/busybox", "/bin/sh"})
    execve(path, arguments, arguments + 1);
  return errno;
}

int ExecGarbage() {
  char* const arguments[] = {const_cast<char*>("garbage"), nullptr};
  const int fd = memfd_create("bulkhead-probe", 0);
  if (fd < 0 || write(fd, "bulkhead\n", 9) != 9) return kSetupFailed;
  syscall(SYS_execveat, fd, "", arguments, arguments + 1, AT_EMPTY_PATH);
  return errno;
}

int ConnectForbidden(int type, const sockaddr_in& target) {
  const int fd = socket(AF_INET, type, 0);
  if (fd < 0) return kSetupFailed;
  return connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) == 0 ? 0 : errno;
}

int SendForbiddenIcmp(const sockaddr_in& target) {
  // Echo request; the checksum of a header of zeros but for the type.
  const uint8_t echo[8] = {8, 0, 0xf7, 0xff, 0, 0, 0, 0};
  const int hop_limit = 1;
  const int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_TTL, &hop_limit, sizeof(hop_limit)) != 0) return kSetupFailed;
  const auto* address = reinterpret_cast<const sockaddr*>(&target);
  return sendto(fd, echo, sizeof(echo), MSG_DONTWAIT, address, sizeof(target)) >= 0 ? 0 : errno;
}

int MapCode() {
  const int fd = memfd_create("bulkhead-probe", 0);
  if (fd < 0 || write(fd, "bulkhead\n", 9) != 9) return kSetupFailed;
  return mmap(nullptr, 9, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? errno : 0;
}

int Act(ProbeAction action, const sockaddr_in& target) {
  char* const arguments[] = {const_cast<char*>("nothing"), nullptr};
  switch (action) {
    case ProbeAction::kSendUdp:
      return SendUdp(false);
    case ProbeAction::kReceiveUdp:
      return SendUdp(true);
    case ProbeAction::kConnectTcp:
      return ConnectTcp();
    case ProbeAction::kAcceptTcp:
      return AcceptTcp();
    case ProbeAction::kExecNothing:
      execve("/proc/self/bulkhead-probe", arguments, arguments + 1);
      return errno;
    case ProbeAction::kExecFile:
      return ExecFile();
    case ProbeAction::kExecGarbage:
      return ExecGarbage();
    case ProbeAction::kMapCode:
      return MapCode();
    case ProbeAction::kConnectForbiddenTcp:
      return ConnectForbidden(SOCK_STREAM, target);
    case ProbeAction::kConnectForbiddenUdp:
      return ConnectForbidden(SOCK_DGRAM, target);
    case ProbeAction::kSendForbiddenIcmp:
      return SendForbiddenIcmp(target);
  }
  return kSetupFailed;
}

sockaddr_in AddressOf(const ForbiddenTarget& target) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  std::memcpy(&address.sin_addr, target.address.bytes().data() + 12, sizeof(address.sin_addr));
  return address;
}

[[noreturn]] void RunChild(ProbeAction action, const sockaddr_in& target, int procs_fd, int go_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // it holds the lock of the sensor that made it: the next one would be refused
  char byte = '0';
  const bool alone = action == ProbeAction::kSendForbiddenIcmp || (unshare(CLONE_NEWNET) == 0 && RaiseLoopback());
  const bool ready = write(procs_fd, &byte, 1) == 1 && alone;
  // The parent says go by closing its end.
  while (read(go_fd, &byte, 1) < 0 && errno == EINTR) {
  }
  _exit(ready ? Act(action, target) : kSetupFailed);
}

}  // namespace

absl::StatusOr<ProbeChild> ProbeChild::Start(ProbeAction action, const std::string& cgroup,
                                             const ForbiddenTarget& target) {
  const std::string path = absl::StrCat(cgroup, "/cgroup.procs");
  const UniqueFd procs(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!procs.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", path));
  const sockaddr_in address = AddressOf(target);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "make a pipe");
  const UniqueFd child_end(ends[0]);
  UniqueFd parent_end(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoToStatus(errno, "fork a probe");
  if (pid == 0) {
    close(parent_end.get());
    RunChild(action, address, procs.get(), child_end.get());
  }
  return ProbeChild(pid, std::move(parent_end));
}

ProbeChild::~ProbeChild() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<ProbeEffect> ProbeChild::Finish() {
  go_.Reset();
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  pollfd wait{pidfd.get(), POLLIN, 0};
  if (!pidfd.valid() || poll(&wait, 1, kEndMillis) != 1) return absl::DeadlineExceededError("the probe did not end");
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return ErrnoToStatus(errno, "wait for a probe");
  pid_ = -1;
  if (WIFSIGNALED(status)) return ProbeEffect{WTERMSIG(status) == SIGKILL, 0};
  if (WEXITSTATUS(status) == kSetupFailed) return absl::InternalError("the probe could not set itself up");
  return ProbeEffect{false, WEXITSTATUS(status)};
}

}  // namespace bulkhead::sensor
