// Runs the socket iterators in every network namespace of a scope and sends SOCK_DESTROY for what they list.
#include "sensor/kernel/socket_walker.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "absl/strings/str_cat.h"
#include "bulkhead/abi.h"
#include "common/errno_status.h"
#include "common/status_macros.h"
#include "sensor/kernel/bpf_iter.h"
#include "sensor/kernel/libbpf_log.h"
#include "sensor/kernel/network_namespaces.h"
#include "sensor/kernel/sock_diag.h"
#include "sockets.skel.h"

namespace bulkhead::sensor {
namespace {

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
