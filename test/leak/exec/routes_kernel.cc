// Who the kernel runs by itself: handlers of other formats (binfmt_misc), and its helpers in user space.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "test/leak/exec/route.h"

namespace bulkhead::leak {
namespace {

constexpr int kHelperMillis = 3000;

// ---- binfmt_misc ----

std::string Handlers(const Place& place) {
  return place.directory + "/binfmt";
}

int MountHandlers(const Place& place) {
  if (mkdir(Handlers(place).c_str(), 0755) != 0) return errno;
  return mount("binfmt_misc", Handlers(place).c_str(), "binfmt_misc", 0, nullptr) == 0 ? 0 : errno;
}

// `interpreter` runs files that start with `magic`.
int Register(const Place& place, const std::string& magic, const std::string& interpreter, const std::string& flags) {
  return WriteInto(Handlers(place) + "/register", ":bulkhead:M::" + magic + "::" + interpreter + ":" + flags);
}

// The blocked file is the handler. Handlers of the first user namespace are the whole machine's.
int RunAsHandler(const Place& place, const std::string& interpreter, const std::string& flags, bool registered) {
  int error = registered ? 0 : Register(place, "BHOTHER", interpreter, flags);
  if (error == 0) error = MakeFile(place.directory + "/other", "BHOTHER file\n");
  if (error == 0) error = InChild([&place] { return Run(place.directory + "/other"); });
  WriteInto(Handlers(place) + "/bulkhead", "-1");
  return error;
}

Route HandlerRoute(const std::string& name, const std::string& title, const std::string& flags) {
  return {name,
          title,
          Victim::kStatic,
          [](Place& p) { return MountHandlers(p); },
          [flags](Place& p) { return RunAsHandler(p, p.victim, flags, false); },
          true};
}

// The blocked file is of another format, which a shell stands for here.
int RunForeign(const Place& place, const std::string& path) {
  int error = Register(place, "BHFOREIGN", "/bin/sh", "");
  if (error == 0) error = InChild([&path] { return Run(path); });
  WriteInto(Handlers(place) + "/bulkhead", "-1");
  return error;
}

int MountOwnHandlers(const Place& place) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
  if (const int error = WriteInto("/proc/self/setgroups", "deny"); error != 0) return error;
  for (const char* const map : {"/proc/self/uid_map", "/proc/self/gid_map"}) {
    if (const int error = WriteInto(map, "0 0 1"); error != 0) return error;
  }
  return MountHandlers(place);
}

// ---- Helpers ----

// Sets a file below /proc or /sys to `value` while `trigger` runs and until the token is there.
int WithSetting(const std::string& file, const std::string& value, const Step& trigger, Place& place) {
  const std::string before = ReadAll(file);
  if (const int error = WriteInto(file, value); error != 0) return error;
  trigger(place);
  for (int waited = 0; waited < kHelperMillis && access(kTokenDirectory, F_OK) != 0; waited += 20) usleep(20'000);
  WriteInto(file, before.empty() ? "\n" : before);
  return 0;
}

int DumpCore(Place&) {
  return InChild([] {
    const rlimit whole{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &whole);
    return raise(SIGSEGV) == 0 ? 0 : errno;
  });
}

int AskForModule(Place&) {
  const int fd = socket(AF_X25, SOCK_SEQPACKET, 0);
  if (fd >= 0) close(fd);
  return 0;
}

int AskForEvent(Place&) {
  return WriteInto("/sys/devices/virtual/net/lo/uevent", "change");
}

// A key of a name of its own: the kernel remembers for a while which ones there are not.
int AskForKey(Place&) {
  syscall(SYS_request_key, "user", ("bulkhead:" + std::to_string(getpid())).c_str(), "none", 0);
  return 0;
}

// The kernel calls a fixed path.
int RunAsKeyHelper(Place& place) {
  constexpr char kHelper[] = "/sbin/request-key";
  if (access(kHelper, F_OK) == 0) return EEXIST;
  if (link(place.victim.c_str(), kHelper) != 0 && symlink(place.victim.c_str(), kHelper) != 0) return errno;
  AskForKey(place);
  unlink(kHelper);
  return 0;
}

// The agent of an old hierarchy, called when its last process leaves a group.
int RunAsReleaseAgent(Place& place) {
  const std::string at = place.directory + "/groups", group = at + "/one";
  if (mkdir(at.c_str(), 0755) != 0) return errno;
  if (mount("cgroup", at.c_str(), "cgroup", 0, "none,name=bulkhead") != 0) return errno;
  if (mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) return errno;
  int error = WriteInto(group + "/notify_on_release", "1");
  if (error == 0) {
    error = WithSetting(
        at + "/release_agent", place.victim,
        [&group](Place&) { return InChild([&group] { return WriteInto(group + "/cgroup.procs", "0"); }); }, place);
  }
  rmdir(group.c_str());
  return error;
}

}  // namespace

void AddKernelRoutes(Routes& routes) {
  routes.push_back(HandlerRoute("handler", "as a binfmt_misc handler", ""));
  routes.push_back(HandlerRoute("handler_open", "as a handler that gets the file opened (flag O)", "O"));
  routes.push_back(HandlerRoute("handler_credentials", "as a handler that takes the file's credentials (flag C)", "C"));
  routes.push_back(HandlerRoute("handler_fixed", "as a handler opened when it is registered (flag F)", "F"));
  routes.push_back({"handler_fixed_before", "as such a handler from before the order", Victim::kStatic,
                    [](Place& p) {
                      const int error = MountHandlers(p);
                      return error != 0 ? error : Register(p, "BHOTHER", p.victim, "F");
                    },
                    [](Place& p) { return RunAsHandler(p, p.victim, "F", true); }, true});
  routes.push_back({"handler_copy", "a copy as such a handler", Victim::kStatic,
                    [](Place& p) { return MountHandlers(p); },
                    [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/copy");
                      return error != 0 ? error : RunAsHandler(p, p.directory + "/copy", "F", false);
                    },
                    true});
  routes.push_back({"handler_namespace", "as a handler of a user namespace's own", Victim::kStatic,
                    [](Place& p) { return MountOwnHandlers(p); },
                    [](Place& p) { return RunAsHandler(p, p.victim, "", false); }});
  routes.push_back({"foreign", "a file of another format, which a handler runs", Victim::kForeign,
                    [](Place& p) { return MountOwnHandlers(p); }, [](Place& p) { return RunForeign(p, p.victim); }});
  routes.push_back({"foreign_host", "the same by a handler for the whole host", Victim::kForeign,
                    [](Place& p) { return MountHandlers(p); }, [](Place& p) { return RunForeign(p, p.victim); }, true});
  routes.push_back({"foreign_copy", "a copy of such a file", Victim::kForeign,
                    [](Place& p) { return MountOwnHandlers(p); },
                    [](Place& p) {
                      const int error = Copy(p.victim, p.directory + "/copy");
                      return error != 0 ? error : RunForeign(p, p.directory + "/copy");
                    }});
  routes.push_back({"core_pattern",
                    "as the reader of core dumps (core_pattern)",
                    Victim::kStatic,
                    {},
                    [](Place& p) { return WithSetting("/proc/sys/kernel/core_pattern", "|" + p.victim, DumpCore, p); },
                    true});
  routes.push_back({"modprobe",
                    "as the kernel's modprobe",
                    Victim::kStatic,
                    {},
                    [](Place& p) { return WithSetting("/proc/sys/kernel/modprobe", p.victim, AskForModule, p); },
                    true});
  routes.push_back({"uevent_helper",
                    "as the kernel's uevent helper",
                    Victim::kStatic,
                    {},
                    [](Place& p) { return WithSetting("/sys/kernel/uevent_helper", p.victim, AskForEvent, p); },
                    true});
  routes.push_back({"request_key", "as the kernel's request-key", Victim::kStatic, {}, RunAsKeyHelper, true});
  routes.push_back(
      {"release_agent", "as the release agent of a cgroup v1 hierarchy", Victim::kStatic, {}, RunAsReleaseAgent, true});
}

}  // namespace bulkhead::leak
