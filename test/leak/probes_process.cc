// The sender is not who the order was meant for: another cgroup, a socket from elsewhere, a child.
#include <sys/wait.h>
#include <unistd.h>

#include "common/status_macros.h"
#include "test/leak/cgroups.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

absl::Status SendDatagram(const Shot& shot) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
  return SendTo(fd.get(), shot.token, MakeEndpoint(kPeer4, shot.port));
}

// Root moves his process out of the contained cgroup.
class OtherCgroupProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    RETURN_IF_ERROR(EnterCgroup(ElsewhereCgroup()));
    return SendDatagram(shot);
  }
};

// A socket that was made in another cgroup, used from inside: what passing a descriptor amounts to.
class ForeignSocketProbe : public Probe {
 public:
  absl::Status Prepare(const Shot&) override {
    const std::string home = OwnCgroup();
    RETURN_IF_ERROR(EnterCgroup(ElsewhereCgroup()));
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    return EnterCgroup(home);
  }
  absl::Status Attempt(const Shot& shot) override {
    return SendTo(fd_.get(), shot.token, MakeEndpoint(kPeer4, shot.port));
  }

 private:
  UniqueFd fd_;
};

// A socket from before the order, used by a child born under it.
class InheritedSocketProbe : public Probe {
 public:
  absl::Status Prepare(const Shot& shot) override {
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
    return Connect(fd_.get(), MakeEndpoint(kPeer4, shot.port));
  }
  absl::Status Attempt(const Shot& shot) override {
    const pid_t child = fork();
    if (child == 0) _exit(Send(fd_.get(), shot.token).ok() ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    return status == 0 ? absl::OkStatus() : absl::UnknownError("the child could not send");
  }

 private:
  UniqueFd fd_;
};

}  // namespace

void AddProcessProbes(ProbeTable& table) {
  table["other_cgroup"] = [] { return std::make_unique<OtherCgroupProbe>(); };
  table["socket_from_other_cgroup"] = [] { return std::make_unique<ForeignSocketProbe>(); };
  table["tcp_held_by_child"] = [] { return std::make_unique<InheritedSocketProbe>(); };
}

}  // namespace bulkhead::leak
