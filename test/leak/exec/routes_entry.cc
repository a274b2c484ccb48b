// Other ways into execve: descriptors, 32-bit calls, threads, namespaces, paths that cannot be read or change.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr size_t kPage = 4096;
constexpr int kRaces = 300;

int RunDescriptor(int fd) {
  syscall(SYS_execveat, fd, "", NoArguments(), NoArguments() + 1, AT_EMPTY_PATH);
  return errno;
}

int Open(const std::string& path, int flags) {
  return open(path.c_str(), flags | O_CLOEXEC);
}

// execve by the 32-bit entry point: every pointer lies below 4 GB.
int RunBy32Bits(const Place& place) {
  auto* const low = static_cast<char*>(
      mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
  if (low == MAP_FAILED) return errno;
  std::strcpy(low, place.victim.c_str());
  auto* const arguments = reinterpret_cast<uint32_t*>(low + kPage);
  arguments[0] = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(low));
  arguments[1] = 0;
  long result = 11;
  __asm__ volatile("int $0x80"
                   : "+a"(result)
                   : "b"(low), "c"(arguments), "d"(arguments + 1)
                   : "memory", "r8", "r9", "r10", "r11");
  return static_cast<int>(-result);
}

// The path lies in a page of a file that nobody has touched: a program that may not sleep cannot read it.
int RunFromUnfaultedPage(const Place& place) {
  const std::string name = place.directory + "/path";
  const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, place.victim.c_str(), place.victim.size() + 1) < 0 || ftruncate(fd, kPage) != 0) return errno;
  const void* const page = mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, fd, 0);
  if (page == MAP_FAILED) return errno;
  execve(static_cast<const char*>(page), NoArguments(), NoArguments() + 1);
  return errno;
}

// The same, and the page comes only when another thread says so.
int RunFromUserfaultPage(const Place& place) {
  const int fd = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  uffdio_api api{};
  api.api = UFFD_API;
  if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0) return errno;
  void* const page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uffdio_register area{};
  area.range = {reinterpret_cast<uintptr_t>(page), kPage};
  area.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (ioctl(fd, UFFDIO_REGISTER, &area) != 0) return errno;
  alignas(kPage) static char content[kPage];
  std::strcpy(content, place.victim.c_str());
  std::thread([fd, page] {
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 5000) != 1) return;
    usleep(20'000);
    uffdio_copy copy{};
    copy.dst = reinterpret_cast<uintptr_t>(page);
    copy.src = reinterpret_cast<uintptr_t>(content);
    copy.len = kPage;
    ioctl(fd, UFFDIO_COPY, &copy);
  }).detach();
  execve(static_cast<const char*>(page), NoArguments(), NoArguments() + 1);
  return errno;
}

// Another thread changes the path between a harmless program and the victim while the call is under way.
int RunRaced(const Place& place) {
  int last = 0;
  for (int i = 0; i < kRaces; ++i) {
    last = InChild([&place] {
      static char path[kPage];
      std::strcpy(path, place.harmless.c_str());
      std::atomic<bool> started{false};
      std::thread([&place, &started] {
        started = true;
        while (true) {
          std::strcpy(path, place.victim.c_str());
          std::strcpy(path, place.harmless.c_str());
        }
      }).detach();
      while (!started) {
      }
      execve(path, NoArguments(), NoArguments() + 1);
      return errno;
    });
  }
  return last;
}

int RunAsPidOne(const Place& place) {
  if (unshare(CLONE_NEWPID) != 0) return errno;
  return InChild([&place] { return Run(place.victim); });
}

int Spawn(const Place& place) {
  pid_t pid = -1;
  if (const int error = posix_spawn(&pid, place.victim.c_str(), nullptr, nullptr, NoArguments(), NoArguments() + 1);
      error != 0)
    return error;
  waitpid(pid, nullptr, 0);
  return 0;
}

}  // namespace

void AddEntryRoutes(Routes& routes) {
  routes.push_back({"fexecve", "a descriptor (fexecve)", Victim::kStatic, {}, [](Place& p) {
                      return RunDescriptor(Open(p.victim, O_RDONLY));
                    }});
  routes.push_back({"fexecve_before", "a descriptor from before the order", Victim::kStatic,
                    [](Place& p) { return (p.fd = Open(p.victim, O_RDONLY)) < 0 ? errno : 0; },
                    [](Place& p) { return RunDescriptor(p.fd); }});
  routes.push_back({"opath_before", "an O_PATH descriptor from before the order", Victim::kStatic,
                    [](Place& p) { return (p.fd = Open(p.victim, O_PATH)) < 0 ? errno : 0; },
                    [](Place& p) { return RunDescriptor(p.fd); }});
  routes.push_back({"deleted", "a descriptor of the deleted file", Victim::kStatic, {}, [](Place& p) {
                      const int fd = Open(p.victim, O_RDONLY);
                      return unlink(p.victim.c_str()) != 0 ? errno : RunDescriptor(fd);
                    }});
  routes.push_back({"execveat", "execveat with a directory", Victim::kStatic, {}, [](Place& p) {
                      const int fd = Open(p.directory, O_RDONLY | O_DIRECTORY);
                      syscall(SYS_execveat, fd, p.victim.substr(p.directory.size() + 1).c_str(), NoArguments(),
                              NoArguments() + 1, 0);
                      return errno;
                    }});
  routes.push_back({"proc_fd", "/proc/self/fd/N", Victim::kStatic, {}, [](Place& p) {
                      return Run("/proc/self/fd/" + std::to_string(Open(p.victim, O_RDONLY)));
                    }});
  routes.push_back({"int80", "the 32-bit system call", Victim::kStatic, {}, RunBy32Bits});
  routes.push_back({"unfaulted", "its path in a page not yet mapped", Victim::kStatic, {}, RunFromUnfaultedPage});
  routes.push_back(
      {"userfault", "its path in a page that another thread delays", Victim::kStatic, {}, RunFromUserfaultPage});
  routes.push_back({"raced", "its path changed by another thread, 300 times", Victim::kStatic, {}, RunRaced});
  routes.push_back({"thread", "from a thread", Victim::kStatic, {}, [](Place& p) {
                      int error = 0;
                      std::thread([&] { error = Run(p.victim); }).join();
                      return error;
                    }});
  routes.push_back({"pid_one", "as process 1 of a new namespace", Victim::kStatic, {}, RunAsPidOne});
  routes.push_back({"spawn", "posix_spawn", Victim::kStatic, {}, Spawn});
}

}  // namespace bulkhead::leak
