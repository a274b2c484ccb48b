// Other callers: as whom, from where and by whose hand execve is called.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <thread>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr uid_t kNobody = 65534;
constexpr int kRaces = 300;
constexpr size_t kLongPath = 4095;

// ---- As whom ----

int BecomeNobody(const Place& place) {
  chmod(place.directory.c_str(), 0755);
  return setgid(kNobody) == 0 && setuid(kNobody) == 0 ? 0 : errno;
}

int RunAsNobody(const Place& place) {
  const int error = BecomeNobody(place);
  return error != 0 ? error : Run(place.victim);
}

int RunSetuid(const Place& place) {
  return chmod(place.victim.c_str(), 04755) != 0 ? errno : RunAsNobody(place);
}

// Root of a user namespace that nobody made.
int BecomeNamespaceRoot(const Place& place) {
  if (const int error = BecomeNobody(place); error != 0) return error;
  prctl(PR_SET_DUMPABLE, 1);  // or /proc/self would be root's
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
  if (const int error = WriteInto("/proc/self/setgroups", "deny"); error != 0) return error;
  if (const int error = WriteInto("/proc/self/uid_map", "0 65534 1"); error != 0) return error;
  return WriteInto("/proc/self/gid_map", "0 65534 1");
}

int RunAsNamespaceRoot(const Place& place) {
  const int error = BecomeNamespaceRoot(place);
  return error != 0 ? error : Run(place.victim);
}

int RunCopyOnOwnTmpfs(const Place& place) {
  const std::string at = place.directory + "/own";
  if (mkdir(at.c_str(), 0777) != 0) return errno;
  if (const int error = BecomeNamespaceRoot(place); error != 0) return error;
  if (mount("tmpfs", at.c_str(), "tmpfs", 0, nullptr) != 0) return errno;
  const int error = Copy(place.victim, at + "/x");
  return error != 0 ? error : Run(at + "/x");
}

int RunInAllNamespaces(const Place& place) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
              CLONE_NEWCGROUP) != 0)
    return errno;
  return InChild([&place] { return Run(place.victim); });
}

// ---- From where ----

int RunAfterVfork(const Place& place) {
  const char* const path = place.victim.c_str();
  volatile int error = 0;
  const pid_t pid = vfork();
  if (pid == 0) {
    execve(path, NoArguments(), NoArguments() + 1);
    error = errno;
    _exit(error);
  }
  if (pid < 0 || waitpid(pid, nullptr, 0) != pid) return errno;
  return error;
}

int RunByPerl(const Place& place) {
  return RunWith("/usr/bin/perl",
                 {"perl", "-e", "$p = shift; $a = pack('p x8', $p); syscall(59, $p, $a, 0); exit $!", place.victim},
                 {});
}

int RunByShell(const Place& place) {
  return RunWith("/bin/sh", {"sh", "-c", "exec \"$0\"", place.victim}, {});
}

int RunLongPath(const Place& place) {
  std::string path = place.directory;
  while (path.size() + 2 + place.victim.size() - place.directory.size() <= kLongPath) path += "/.";
  return Run(path + place.victim.substr(place.directory.size()));
}

int RunDetachedMount(const Place& place) {
  const int fd =
      static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, place.victim.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (fd < 0) return errno;
  syscall(SYS_execveat, fd, "", NoArguments(), NoArguments() + 1, AT_EMPTY_PATH);
  return errno;
}

int RunByHandle(const Place& place) {
  struct {
    file_handle head;
    char bytes[MAX_HANDLE_SZ];
  } handle{};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (name_to_handle_at(AT_FDCWD, place.victim.c_str(), &handle.head, &mount, 0) != 0) return errno;
  const int directory = open(place.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int fd = open_by_handle_at(directory, &handle.head, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? errno : Run("/proc/self/fd/" + std::to_string(fd));
}

// A process whose program is the victim and that has not run an instruction of it.
int StartStopped(Place& place) {
  place.pid = fork();
  if (place.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(9);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    _exit(Run(place.victim));
  }
  int status = 0;
  return waitpid(place.pid, &status, 0) == place.pid && WIFSTOPPED(status) ? 0 : ECHILD;
}

int RunOfStopped(const Place& place, const std::string& link) {
  const int error = InChild([&] { return Run("/proc/" + std::to_string(place.pid) + "/" + link); });
  kill(place.pid, SIGKILL);
  return error;
}

int RunMappedFile(const Place& place) {
  unsigned long from = 0, to = 0;
  FILE* const maps = fopen(("/proc/" + std::to_string(place.pid) + "/maps").c_str(), "r");
  if (maps == nullptr || fscanf(maps, "%lx-%lx", &from, &to) != 2) return ENOENT;
  fclose(maps);
  char name[64];
  snprintf(name, sizeof(name), "map_files/%lx-%lx", from, to);
  return RunOfStopped(place, name);
}

int RunDescriptorOfOther(const Place& place) {
  const int fd = open(place.victim.c_str(), O_RDONLY | O_CLOEXEC);
  const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd);
  return fd < 0 ? errno : InChild([&path] { return Run(path); });
}

int RunInChildCgroup(const Place& place) {
  FILE* const own = fopen("/proc/self/cgroup", "r");
  char line[512] = "";
  std::string relative;
  while (own != nullptr && fgets(line, sizeof(line), own) != nullptr) {
    if (std::strncmp(line, "0::", 3) == 0) relative = std::string(line + 3, std::strlen(line + 3) - 1);
  }
  if (own != nullptr) fclose(own);
  const std::string mounted =
      access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  const std::string child = mounted + relative + "/inner";
  if (mkdir(child.c_str(), 0755) != 0) return errno;
  const int error = InChild([&] {
    const int moved = WriteInto(child + "/cgroup.procs", "0");
    return moved != 0 ? moved : Run(place.victim);
  });
  for (int i = 0; i < 100 && rmdir(child.c_str()) != 0; ++i) usleep(2000);
  return error;
}

// ---- By whose hand ----

// A tracer turns another call into execve at its entry.
int RunInjected(const Place& place) {
  const pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    syscall(SYS_getsid, place.victim.c_str(), NoArguments(), NoArguments() + 1);
    _exit(errno);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    user_regs_struct registers{};
    ptrace(PTRACE_GETREGS, pid, nullptr, &registers);
    if (registers.orig_rax == SYS_getsid) {
      registers.orig_rax = SYS_execve;
      ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
      ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
      break;
    }
    ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
  }
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int NotifyOfExecve() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{static_cast<unsigned short>(sizeof(filter) / sizeof(filter[0])), filter};
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

// A supervisor changes the path in the caller's memory, then lets the call go on.
int RunNotified(const Place& place) {
  static char path[kLongPath];
  std::strcpy(path, place.harmless.c_str());
  auto* const listener =
      static_cast<volatile int*>(mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  *listener = -1;
  const pid_t pid = fork();
  if (pid == 0) {
    *listener = NotifyOfExecve();
    execve(path, NoArguments(), NoArguments() + 1);
    _exit(errno);
  }
  for (int i = 0; i < 2000 && *listener < 0; ++i) usleep(1000);
  const int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, process, *listener, 0));
  seccomp_notif call{};
  if (fd < 0 || ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
    kill(pid, SIGKILL);
    return errno;
  }
  iovec from{const_cast<char*>(place.victim.c_str()), place.victim.size() + 1}, to{path, place.victim.size() + 1};
  process_vm_writev(pid, &from, 1, &to, 1, 0);
  seccomp_notif_resp answer{};
  answer.id = call.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

// Another process swaps the victim for a harmless file, over and over, while it is executed.
int RunExchanged(const Place& place) {
  const pid_t swapper = fork();
  if (swapper == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) {
      syscall(SYS_renameat2, AT_FDCWD, place.victim.c_str(), AT_FDCWD, place.harmless.c_str(), 2 /* RENAME_EXCHANGE */);
    }
  }
  int last = 0;
  for (int i = 0; i < kRaces; ++i) last = InChild([&] { return Run(i % 2 == 0 ? place.victim : place.harmless); });
  kill(swapper, SIGKILL);
  waitpid(swapper, nullptr, 0);
  return last;
}

// A symbolic link that another process turns around while it is followed.
int RunTurningLink(const Place& place) {
  const std::string at = place.directory + "/turning", next = place.directory + "/next";
  if (symlink(place.harmless.c_str(), at.c_str()) != 0) return errno;
  const pid_t turner = fork();
  if (turner == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0;; ++i) {
      (void)!symlink((i % 2 == 0 ? place.victim : place.harmless).c_str(), next.c_str());
      rename(next.c_str(), at.c_str());
    }
  }
  int last = 0;
  for (int i = 0; i < kRaces; ++i) last = InChild([&] { return Run(at); });
  kill(turner, SIGKILL);
  waitpid(turner, nullptr, 0);
  return last;
}

}  // namespace

void AddCallerRoutes(Routes& routes) {
  routes.push_back({"static_pie", "its path, a position-independent program", Victim::kStaticPie, {}, [](Place& p) {
                      return Run(p.victim);
                    }});
  routes.push_back(
      {"program_32", "its path, a 32-bit program", Victim::k32Bit, {}, [](Place& p) { return Run(p.victim); }});
  routes.push_back({"nobody", "as another user", Victim::kStatic, {}, RunAsNobody});
  routes.push_back({"setuid", "a setuid file, as another user", Victim::kStatic, {}, RunSetuid});
  routes.push_back({"namespace_root",
                    "as root of a user namespace that another user made",
                    Victim::kStatic,
                    {},
                    RunAsNamespaceRoot});
  routes.push_back(
      {"namespace_tmpfs", "a copy on a tmpfs in such a namespace", Victim::kStatic, {}, RunCopyOnOwnTmpfs});
  routes.push_back({"all_namespaces", "new namespaces of every kind", Victim::kStatic, {}, RunInAllNamespaces});
  routes.push_back({"vfork", "vfork", Victim::kStatic, {}, RunAfterVfork});
  routes.push_back({"perl", "perl -e syscall", Victim::kStatic, {}, RunByPerl});
  routes.push_back({"shell", "a shell's exec", Victim::kStatic, {}, RunByShell});
  routes.push_back({"long_path", "a path of 4095 bytes", Victim::kStatic, {}, RunLongPath});
  routes.push_back(
      {"dev_fd", "/dev/fd/N", Victim::kStatic,
       [](Place&) { return access("/dev/fd", F_OK) == 0 || symlink("/proc/self/fd", "/dev/fd") == 0 ? 0 : errno; },
       [](Place& p) {
         const int fd = open(p.victim.c_str(), O_RDONLY);
         return fd < 0 ? errno : Run("/dev/fd/" + std::to_string(fd));
       }});
  routes.push_back({"detached_mount", "a detached mount (open_tree)", Victim::kStatic, {}, RunDetachedMount});
  routes.push_back({"handle", "a file handle (open_by_handle_at)", Victim::kStatic, {}, RunByHandle});
  routes.push_back({"other_fd", "/proc/PID/fd/N of another process", Victim::kStatic, {}, RunDescriptorOfOther});
  routes.push_back({"proc_exe", "/proc/PID/exe of a process from before the order", Victim::kStatic, StartStopped,
                    [](Place& p) { return RunOfStopped(p, "exe"); }});
  routes.push_back({"map_files", "/proc/PID/map_files of such a process", Victim::kStatic, StartStopped,
                    [](Place& p) { return RunMappedFile(p); }});
  routes.push_back({"child_cgroup", "from a cgroup below its own", Victim::kStatic, {}, RunInChildCgroup});
  routes.push_back({"injected", "a call that a tracer turns into execve", Victim::kStatic, {}, RunInjected});
  routes.push_back({"notified", "its path put in by a seccomp supervisor", Victim::kStatic, {}, RunNotified});
  routes.push_back(
      {"exchanged", "swapped with a harmless file meanwhile, 300 times", Victim::kStatic, {}, RunExchanged});
  routes.push_back(
      {"turning_link", "a symbolic link that turns meanwhile, 300 times", Victim::kStatic, {}, RunTurningLink});
}

}  // namespace bulkhead::leak
