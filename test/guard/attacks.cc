// The attacks, one lambda each.
#include "test/guard/attacks.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "common/unique_fd.h"

namespace bulkhead::sensor {
namespace {

int Result(long result) {
  return result < 0 ? errno : 0;
}

int WriteTo(const std::string& path, const std::string& text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return errno;
  return Result(write(fd.get(), text.data(), text.size()));
}

std::string Proc(const Target& target, const char* name) {
  return "/proc/" + std::to_string(target.pid) + "/" + name;
}

std::string Parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// Below the root of the cgroup file system.
std::string RelativeCgroup(const Target& target) {
  return target.cgroup.substr(std::strlen("/sys/fs/cgroup/"));
}

UniqueFd OpenPidfd(const Target& target) {
  return UniqueFd(syscall(SYS_pidfd_open, target.pid, 0));
}

int SignalByDescriptor(const Target& target) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  const UniqueFd mine(ends[0]), other(ends[1]);
  if (fcntl(mine.get(), F_SETOWN, target.pid) != 0 || fcntl(mine.get(), F_SETSIG, SIGKILL) != 0 ||
      fcntl(mine.get(), F_SETFL, O_ASYNC) != 0) {
    return errno;
  }
  if (write(other.get(), "x", 1) != 1) return errno;
  // The kernel tells nobody whether it sent the signal: what counts is whether the target is alive.
  usleep(100000);
  return kill(target.pid, 0) == 0 ? EPERM : 0;
}

// The sensor goes home when it is moved. Where it was quicker than the kill, nobody was killed, and the race is run
// again.
int MoveThenKill(const Target& target) {
  const std::string elsewhere = "/sys/fs/cgroup/guard-attack";
  mkdir(elsewhere.c_str(), 0755);
  int error = 0;
  for (int race = 0; error == 0 && race < 50 && kill(target.pid, 0) == 0; ++race) {
    WriteTo(elsewhere + "/cgroup.procs", std::to_string(target.pid));
    error = WriteTo(elsewhere + "/cgroup.kill", "1");
  }
  return error;
}

int FreezeThenMove(const Target& target) {
  const std::string elsewhere = "/sys/fs/cgroup/guard-attack";
  mkdir(elsewhere.c_str(), 0755);
  const int error = WriteTo(elsewhere + "/cgroup.freeze", "1");
  WriteTo(elsewhere + "/cgroup.procs", std::to_string(target.pid));
  return error;
}

// Mounts `type` once more, where no path of the sensor leads, and writes a file in it.
int WriteInAnotherMount(const char* type, const std::string& name, const std::string& text) {
  const std::string directory = std::string("/tmp/another-") + type;
  mkdir(directory.c_str(), 0755);
  if (mount(type, directory.c_str(), type, 0, nullptr) != 0) return errno;
  const int error = WriteTo(directory + "/" + name, text);
  umount2(directory.c_str(), MNT_DETACH);
  return error;
}

// The controller may be off until now; switching it on is nobody's harm.
int LimitMemory(const std::string& cgroup) {
  WriteTo("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
  WriteTo(Parent(cgroup) + "/cgroup.subtree_control", "+memory");
  return WriteTo(cgroup + "/memory.max", "0");
}

int FreezeInOldHierarchy(const Target& target) {
  const std::string freezer = "/tmp/freezer";
  mkdir(freezer.c_str(), 0755);
  if (mount("freezer", freezer.c_str(), "cgroup", 0, "freezer") != 0) return EPERM;  // this kernel has none
  mkdir((freezer + "/ice").c_str(), 0755);
  const int error = WriteTo(freezer + "/ice/freezer.state", "FROZEN");
  WriteTo(freezer + "/ice/tasks", std::to_string(target.pid));
  return error;
}

int PinnedLinkFd(const Target& target) {
  return bpf_obj_get((target.pins + "/guard_bh_g_kill").c_str());
}

int OpenByNameOfMap(const char* name) {
  uint32_t id = 0;
  while (bpf_map_get_next_id(id, &id) == 0) {
    const UniqueFd fd(bpf_map_get_fd_by_id(id));
    if (!fd.valid()) {
      if (errno == EPERM) return EPERM;
      continue;
    }
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 && std::strcmp(info.name, name) == 0) return 0;
  }
  return ENOENT;
}

int OpenPrograms() {
  uint32_t id = 0;
  int error = ENOENT;
  while (bpf_prog_get_next_id(id, &id) == 0) {
    const UniqueFd fd(bpf_prog_get_fd_by_id(id));
    if (!fd.valid() && errno == EPERM) {
      error = EPERM;
      continue;
    }
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    if (fd.valid() && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 && std::strncmp(info.name, "bh_g_", 5) == 0)
      return 0;
  }
  return error;
}

int DetachEveryLink() {
  uint32_t id = 0;
  int error = ENOENT;
  while (bpf_link_get_next_id(id, &id) == 0) {
    const UniqueFd fd(bpf_link_get_fd_by_id(id));
    if (fd.valid() && bpf_link_detach(fd.get()) == 0) return 0;
    error = errno;
  }
  return error;
}

UniqueFd LoadPassAll(bpf_prog_type type) {
  // r0 = 1; exit
  const bpf_insn instructions[] = {{.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                                   {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return UniqueFd(bpf_prog_load(type, "attack", "GPL", instructions, 2, nullptr));
}

// Puts a program that lets everything pass in the place of one of the sensor's.
int ReplaceEveryLink() {
  const UniqueFd program = LoadPassAll(BPF_PROG_TYPE_CGROUP_SKB);
  if (!program.valid()) return errno;
  uint32_t id = 0;
  int error = ENOENT;
  while (bpf_link_get_next_id(id, &id) == 0) {
    const UniqueFd link(bpf_link_get_fd_by_id(id));
    if (!link.valid()) continue;
    if (bpf_link_update(link.get(), program.get(), nullptr) == 0) return 0;
    if (errno == EPERM) error = EPERM;  // else a link that takes no such program
  }
  return error;
}

int LoadProgram(bpf_prog_type type) {
  return LoadPassAll(type).valid() ? 0 : errno;
}

int OpenPerfEvent() {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof(attributes);
  attributes.config = PERF_COUNT_SW_DUMMY;
  const UniqueFd fd(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  return fd.valid() ? 0 : errno;
}

// No module and no kernel: what counts is who says so first, the guard or the loader.
UniqueFd OpenAnyFile() {
  return UniqueFd(open("/usr/bin/busybox", O_RDONLY | O_CLOEXEC));
}

int LoadModuleFromMemory() {
  const std::vector<char> image(4096);
  return Result(syscall(SYS_init_module, image.data(), image.size(), ""));
}

int LoadModuleFromFile() {
  return Result(syscall(SYS_finit_module, OpenAnyFile().get(), "", 0));
}

int LoadKernelFromFile() {
  return Result(syscall(SYS_kexec_file_load, OpenAnyFile().get(), -1, 0, nullptr, KEXEC_FILE_NO_INITRAMFS));
}

int UnmountNamespaceCopyOf(const std::string& path) {
  return Result(umount2(path.c_str(), MNT_DETACH));
}

}  // namespace

std::vector<Attack> ProcessAttacks() {
  return {
      {"SIGKILL", false, [](const Target& t) { return Result(kill(t.pid, SIGKILL)); }},
      {"SIGSTOP", false, [](const Target& t) { return Result(kill(t.pid, SIGSTOP)); }},
      {"SIGTERM to one thread", false,
       [](const Target& t) { return Result(syscall(SYS_tgkill, t.pid, t.pid, SIGTERM)); }},
      {"pidfd_send_signal", false,
       [](const Target& t) { return Result(syscall(SYS_pidfd_send_signal, OpenPidfd(t).get(), SIGKILL, nullptr, 0)); }},
      {"F_SETOWN and F_SETSIG", false, SignalByDescriptor},
      {"ptrace attach", false, [](const Target& t) { return Result(ptrace(PTRACE_ATTACH, t.pid, 0, 0)); }},
      {"ptrace seize", false, [](const Target& t) { return Result(ptrace(PTRACE_SEIZE, t.pid, 0, 0)); }},
      {"ptrace of process 1", false, [](const Target&) { return Result(ptrace(PTRACE_SEIZE, 1, 0, 0)); }},
      {"/proc/PID/mem", false,
       [](const Target& t) { return Result(UniqueFd(open(Proc(t, "mem").c_str(), O_RDWR)).get()); }},
      {"process_vm_writev", false,
       [](const Target& t) {
         char byte = 0;
         iovec local{&byte, 1}, remote{&byte, 1};
         return Result(process_vm_writev(t.pid, &local, 1, &remote, 1, 0));
       }},
      {"pidfd_getfd", false,
       [](const Target& t) { return Result(syscall(SYS_pidfd_getfd, OpenPidfd(t).get(), 0, 0)); }},
      {"RLIMIT_CPU", false,
       [](const Target& t) {
         const rlimit none{0, 0};
         return Result(prlimit(t.pid, RLIMIT_CPU, &none, nullptr));
       }},
      {"renice", false, [](const Target& t) { return Result(setpriority(PRIO_PROCESS, t.pid, 19)); }},
      {"SCHED_IDLE", false,
       [](const Target& t) {
         const sched_param parameter{};
         return Result(sched_setscheduler(t.pid, SCHED_IDLE, &parameter));
       }},
      {"CPU affinity", false,
       [](const Target& t) {
         cpu_set_t first;
         CPU_ZERO(&first);
         CPU_SET(0, &first);
         return Result(sched_setaffinity(t.pid, sizeof(first), &first));
       }},
      {"oom_score_adj", false, [](const Target& t) { return WriteTo(Proc(t, "oom_score_adj"), "1000"); }},
      {"oom_score_adj of its thread", false,
       [](const Target& t) {
         return WriteTo(Proc(t, ("task/" + std::to_string(t.pid) + "/oom_score_adj").c_str()), "1000");
       }},
      {"cgroup.kill", false, [](const Target& t) { return WriteTo(t.cgroup + "/cgroup.kill", "1"); }},
      {"cgroup.kill by another mount", false,
       [](const Target& t) { return WriteInAnotherMount("cgroup2", RelativeCgroup(t) + "/cgroup.kill", "1"); }},
      {"cgroup.freeze", false, [](const Target& t) { return WriteTo(t.cgroup + "/cgroup.freeze", "1"); }},
      {"cgroup.kill of the parent", false,
       [](const Target& t) { return WriteTo(Parent(t.cgroup) + "/cgroup.kill", "1"); }},
      {"cgroup.freeze of the parent", false,
       [](const Target& t) { return WriteTo(Parent(t.cgroup) + "/cgroup.freeze", "1"); }},
      {"memory.max", false, [](const Target& t) { return LimitMemory(t.cgroup); }},
      {"memory.max of the parent", false, [](const Target& t) { return LimitMemory(Parent(t.cgroup)); }},
      {"cgroup.max.descendants", false,
       [](const Target& t) { return WriteTo(t.cgroup + "/cgroup.max.descendants", "0"); }},
      {"into the sensor's cgroup", false, [](const Target& t) { return WriteTo(t.cgroup + "/cgroup.procs", "0"); }},
      {"moved, then cgroup.kill", false, MoveThenKill},
      {"frozen, then moved there", false, FreezeThenMove},
      {"frozen in the old hierarchy", false, FreezeInOldHierarchy},
      {"rmdir of the cgroup", false,
       [](const Target& t) { return rmdir(t.cgroup.c_str()) == 0 || errno == EBUSY ? 0 : errno; }},
  };
}

std::vector<Attack> FileAttacks() {
  return {
      {"write a library that it runs", false,
       [](const Target&) { return Result(UniqueFd(open("/usr/lib/x86_64-linux-gnu/libc.so.6", O_RDWR)).get()); }},
      {"unlink the program", false, [](const Target& t) { return Result(unlink(t.program.c_str())); }},
      {"rename over the program", false,
       [](const Target& t) {
         close(open("/usr/local/bin/other", O_CREAT | O_WRONLY, 0755));
         return Result(rename("/usr/local/bin/other", t.program.c_str()));
       }},
      {"chmod the program", false, [](const Target& t) { return Result(chmod(t.program.c_str(), 0)); }},
      {"chown the program", false, [](const Target& t) { return Result(chown(t.program.c_str(), 1, 1)); }},
      {"rename the program's directory", false,
       [](const Target& t) { return Result(rename(Parent(t.program).c_str(), "/usr/x")); }},
      {"rename the directory above", false,
       [](const Target& t) { return Result(rename(Parent(Parent(t.program)).c_str(), "/usr/y")); }},
      {"mount over the program's directory", false,
       [](const Target& t) { return Result(mount("x", Parent(t.program).c_str(), "tmpfs", 0, nullptr)); }},
      {"mount over the program", false,
       [](const Target& t) { return Result(mount("/usr/bin/busybox", t.program.c_str(), nullptr, MS_BIND, nullptr)); }},
      {"write the state", false, [](const Target& t) { return WriteTo(t.tree + "/state", "x"); }},
      {"truncate the state", false, [](const Target& t) { return Result(truncate((t.tree + "/state").c_str(), 0)); }},
      {"unlink the state", false, [](const Target& t) { return Result(unlink((t.tree + "/state").c_str())); }},
      {"link the state elsewhere", false,
       [](const Target& t) { return Result(link((t.tree + "/state").c_str(), (Parent(t.tree) + "/copy").c_str())); }},
      {"a new file beside the state", false,
       [](const Target& t) { return Result(open((t.tree + "/new").c_str(), O_CREAT | O_WRONLY, 0600)); }},
      {"a symlink beside the state", false,
       [](const Target& t) { return Result(symlink("/tmp", (t.tree + "/new").c_str())); }},
      {"lock the state's directory", false,
       [](const Target& t) {
         const UniqueFd fd(open(t.tree.c_str(), O_RDONLY | O_CLOEXEC));
         return Result(flock(fd.get(), LOCK_EX | LOCK_NB));
       }},
      {"unlink a pin", false, [](const Target& t) { return Result(unlink((t.pins + "/guard_bh_g_kill").c_str())); }},
      {"rename a pin", false,
       [](const Target& t) { return Result(rename((t.pins + "/guard_bh_g_kill").c_str(), (t.pins + "/x").c_str())); }},
      {"rename the pins' directory", false,
       [](const Target& t) { return Result(rename(t.pins.c_str(), "/sys/fs/bpf/x")); }},
      {"unmount the bpf file system", false, [](const Target&) { return UnmountNamespaceCopyOf("/sys/fs/bpf"); }},
      {"unmount sysfs", false, [](const Target&) { return UnmountNamespaceCopyOf("/sys"); }},
      {"mount over the bpf file system", false,
       [](const Target&) { return Result(mount("x", "/sys/fs/bpf", "tmpfs", 0, nullptr)); }},
      {"move the bpf file system", false,
       [](const Target&) { return Result(mount("/sys/fs/bpf", "/tmp", nullptr, MS_MOVE, nullptr)); }},
  };
}

std::vector<Attack> ObjectAttacks() {
  return {
      {"a map by id", false, [](const Target&) { return OpenByNameOfMap("bh_guard"); }},
      {"a map by its pin", false,
       [](const Target& t) { return Result(UniqueFd(bpf_obj_get((t.pins + "/bh_guard").c_str())).get()); }},
      {"the active word by its pin", false,
       [](const Target& t) { return Result(UniqueFd(bpf_obj_get((t.rule_set + "/bh_active").c_str())).get()); }},
      {"the programs by id", false, [](const Target&) { return OpenPrograms(); }},
      {"detach a pinned link", false,
       [](const Target& t) { return Result(bpf_link_detach(UniqueFd(PinnedLinkFd(t)).get())); }},
      {"detach every link", false, [](const Target&) { return DetachEveryLink(); }},
      {"replace every link's program", false, [](const Target&) { return ReplaceEveryLink(); }},
      {"load a kprobe program", true, [](const Target&) { return LoadProgram(BPF_PROG_TYPE_KPROBE); }},
      {"load a raw tracepoint program", true, [](const Target&) { return LoadProgram(BPF_PROG_TYPE_RAW_TRACEPOINT); }},
      {"load an XDP program", true, [](const Target&) { return LoadProgram(BPF_PROG_TYPE_XDP); }},
      {"load a tc program", true, [](const Target&) { return LoadProgram(BPF_PROG_TYPE_SCHED_CLS); }},
      {"perf_event_open", true, [](const Target&) { return OpenPerfEvent(); }},
  };
}

std::vector<Attack> KernelAttacks() {
  return {
      {"ftrace_enabled", false, [](const Target&) { return WriteTo("/proc/sys/kernel/ftrace_enabled", "0"); }},
      {"ftrace_enabled by another mount", false,
       [](const Target&) { return WriteInAnotherMount("proc", "sys/kernel/ftrace_enabled", "0"); }},
      {"kprobes/enabled", false, [](const Target&) { return WriteTo("/sys/kernel/debug/kprobes/enabled", "0"); }},
      {"sysrq", true, [](const Target&) { return WriteTo("/proc/sysrq-trigger", "h"); }},
      {"tracing_on", true, [](const Target&) { return WriteTo("/sys/kernel/tracing/tracing_on", "0"); }},
      {"tracing events", true, [](const Target&) { return WriteTo("/sys/kernel/tracing/events/enable", "0"); }},
      {"/dev/mem", true, [](const Target&) { return Result(UniqueFd(open("/dev/mem", O_RDWR)).get()); }},
      {"a raw disk", true, [](const Target&) { return Result(UniqueFd(open("/dev/loop0", O_RDWR)).get()); }},
      {"init_module", true, [](const Target&) { return LoadModuleFromMemory(); }},
      {"finit_module", true, [](const Target&) { return LoadModuleFromFile(); }},
      {"iopl", true, [](const Target&) { return Result(iopl(3)); }},
      {"kexec_load", true,
       [](const Target&) { return Result(syscall(SYS_kexec_load, 0, 0, nullptr, KEXEC_ARCH_DEFAULT)); }},
      {"kexec_file_load", true, [](const Target&) { return LoadKernelFromFile(); }},
  };
}

}  // namespace bulkhead::sensor
