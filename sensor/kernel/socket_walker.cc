// Runs the socket iterators in every network namespace of a scope and sends SOCK_DESTROY for what they list.
#include "sensor/kernel/socket_walker.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "sensor/kernel/bpf_iter.h"
#include "sensor/kernel/libbpf_log.h"
#include "sensor/kernel/sock_diag.h"
#include "sockets.skel.h"

namespace bulkhead::sensor {
namespace {

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &pid)) pids.push_back(pid);
  }
  return pids;
}

// One descriptor for each network namespace that a process of the scope is in, by inode.
std::map<ino_t, UniqueFd> NamespacesOf(const Scope& scope) {
  std::map<ino_t, UniqueFd> namespaces;
  for (const pid_t pid : scope.is_host() ? AllProcesses() : ProcessesIn(scope)) {
    UniqueFd fd(open(absl::StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    struct stat found {};
    // A process may end at any time; its sockets end with it.
    if (fd.valid() && fstat(fd.get(), &found) == 0) namespaces.try_emplace(found.st_ino, std::move(fd));
  }
  return namespaces;
}

// Calls `visit` in each of them, one after the other; the first error ends the walk.
absl::Status InEachNamespace(const Scope& scope, const std::function<absl::Status()>& visit) {
  absl::Status result;
  std::thread walker([&] {
    for (const auto& [inode, fd] : NamespacesOf(scope)) {
      result = setns(fd.get(), CLONE_NEWNET) == 0 ? visit() : ErrnoToStatus(errno, "enter a network namespace");
      if (!result.ok()) return;
    }
  });
  walker.join();
  return result;
}

absl::Status ForgetListeners(bpf_object* object) {
  const int fd = bpf_object__find_map_fd_by_name(object, "bh_listeners");
  uint16_t port;
  while (bpf_map_get_next_key(fd, nullptr, &port) == 0) {
    if (bpf_map_delete_elem(fd, &port) != 0) return ErrnoToStatus(errno, "empty the map of listeners");
  }
  return absl::OkStatus();
}

bpf_program* Named(const ObjectPtr& object, const char* name) {
  return bpf_object__find_program_by_name(object.get(), name);
}

}  // namespace

absl::StatusOr<SocketWalker> SocketWalker::Open(const std::string& directory, const Scope& scope) {
  size_t size = 0;
  const void* bytes = sockets_bpf::elf_bytes(&size);
  ASSIGN_OR_RETURN(ObjectPtr object, OpenObject(bytes, size, {"bh_mark_tcp", "bh_list_tcp", "bh_list_udp"}));
  RETURN_IF_ERROR(LoadObject(object.get(), directory));
  return SocketWalker(std::move(object), scope);
}

absl::Status SocketWalker::MarkOldConnections() {
  return InEachNamespace(scope_, [this] {
    RETURN_IF_ERROR(ForgetListeners(object_.get()));
    return RunIterator(Named(object_, "bh_mark_tcp"), nullptr).status();
  });
}

absl::StatusOr<uint32_t> SocketWalker::DestroyForbidden() {
  uint32_t destroyed = 0;
  const absl::Status walked = InEachNamespace(scope_, [this, &destroyed]() -> absl::Status {
    for (const char* name : {"bh_list_tcp", "bh_list_udp"}) {
      ASSIGN_OR_RETURN(const std::string listed, RunIterator(Named(object_, name), nullptr));
      const auto* sockets = reinterpret_cast<const bh_socket*>(listed.data());
      ASSIGN_OR_RETURN(const uint32_t count, DestroySockets(sockets, listed.size() / sizeof(bh_socket)));
      destroyed += count;
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(walked);
  return destroyed;
}

}  // namespace bulkhead::sensor
