// The yardstick, loaded and attached.
#include "test/leak/exec/exec_hook.h"

#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/errno_status.h"
#include "exec_hook.skel.h"

namespace bulkhead::leak {

absl::StatusOr<std::unique_ptr<ExecHook>> ExecHook::Open(const std::string& cgroup) {
  struct stat directory {};
  if (!cgroup.empty() && stat(cgroup.c_str(), &directory) != 0) return ErrnoToStatus(errno, "cannot look at " + cgroup);
  std::unique_ptr<ExecHook> hook(new ExecHook(exec_hook_bpf__open()));
  if (hook->programs_ == nullptr) return ErrnoToStatus(errno, "cannot open the hook");
  const bool host = cgroup.empty();
  bpf_program__set_autoload(hook->programs_->progs.hook_execve, host);
  bpf_program__set_autoload(hook->programs_->progs.hook_enter_execve, !host);
  if (const int error = exec_hook_bpf__load(hook->programs_); error != 0)
    return ErrnoToStatus(-error, "cannot load the hook");
  hook->programs_->bss->hook_cgroup = directory.st_ino;  // a cgroup's id is its directory's inode
  if (const int error = exec_hook_bpf__attach(hook->programs_); error != 0)
    return ErrnoToStatus(-error, "cannot attach the hook");
  return hook;
}

ExecHook::~ExecHook() {
  exec_hook_bpf__destroy(programs_);
}

void ExecHook::Kill(const std::string& path) {
  char* const wanted = programs_->bss->hook_path;
  std::memset(wanted, 0, sizeof(programs_->bss->hook_path));
  // The first byte last: until then nobody is killed.
  for (size_t i = std::min(path.size(), sizeof(programs_->bss->hook_path) - 1); i-- > 0;) wanted[i] = path[i];
}

}  // namespace bulkhead::leak
