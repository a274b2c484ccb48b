// Two network namespaces joined by a veth pair.
#include "harness/net_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace bulkhead::test {
namespace {

// One request to the factory's process: a socket to make or, when `command` is not empty, a shell command to run.
struct Order {
  int family;
  int type;
  int protocol;
  char command[1000];
};

void Reply(int control, int error, int fd) {
  msghdr message{};
  iovec data{&error, sizeof(error)};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))];
  if (fd >= 0) {
    message.msg_control = room;
    message.msg_controllen = sizeof(room);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  sendmsg(control, &message, 0);
}

void Carry(int control, const Order& order) {
  if (order.command[0] != '\0') {
    const int status = system(order.command);
    Reply(control, status == 0 ? 0 : ECANCELED, -1);
    return;
  }
  const UniqueFd fd(socket(order.family, order.type | SOCK_CLOEXEC, order.protocol));
  Reply(control, fd.valid() ? 0 : errno, fd.get());
}

// `namespace_fd` negative: a new one.
int Serve(int control, int namespace_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (namespace_fd < 0 ? unshare(CLONE_NEWNET) != 0 : setns(namespace_fd, CLONE_NEWNET) != 0) return 1;
  Reply(control, 0, -1);
  Order order;
  while (recv(control, &order, sizeof(order), 0) == sizeof(order)) Carry(control, order);
  return 0;
}

UniqueFd Receive(int control, const char* what) {
  int error = EPIPE;
  msghdr message{};
  iovec data{&error, sizeof(error)};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))];
  message.msg_control = room;
  message.msg_controllen = sizeof(room);
  if (recvmsg(control, &message, MSG_CMSG_CLOEXEC) != sizeof(error)) error = EPIPE;
  if (error != 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(error));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  int fd = -1;
  if (header != nullptr) std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

}  // namespace

SocketFactory::SocketFactory(const CgroupSandbox* cgroup, const SocketFactory* neighbour) {
  UniqueFd shared;
  if (neighbour != nullptr) {
    shared.Reset(open(("/proc/" + std::to_string(neighbour->pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    if (!shared.valid()) throw std::runtime_error("open a neighbour's network namespace");
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair failed");
  control_.Reset(ends[0]);
  UniqueFd other(ends[1]);
  const int ours = ends[0];
  const auto body = [&other, &shared, ours] {
    close(ours);
    return Serve(other.get(), shared.valid() ? shared.get() : -1);
  };
  if (cgroup != nullptr) {
    pid_ = cgroup->Fork(body);
  } else {
    pid_ = fork();
    if (pid_ == 0) _exit(body());
  }
  other.Reset();
  Receive(control_.get(), "make a network namespace");
}

SocketFactory::~SocketFactory() {
  control_.Reset();
  kill(pid_, SIGKILL);
  WaitFor(pid_);
}

UniqueFd SocketFactory::Socket(int family, int type, int protocol) const {
  const Order order{family, type, protocol, ""};
  if (send(control_.get(), &order, sizeof(order), MSG_NOSIGNAL) < 0)
    throw std::runtime_error("the socket factory is gone");
  return Receive(control_.get(), "make a socket");
}

void SocketFactory::Run(const std::string& command) const {
  Order order{};
  if (command.size() >= sizeof(order.command)) throw std::runtime_error("command too long");
  std::memcpy(order.command, command.c_str(), command.size());
  if (send(control_.get(), &order, sizeof(order), MSG_NOSIGNAL) < 0)
    throw std::runtime_error("the socket factory is gone");
  Receive(control_.get(), command.c_str());
}

NetSandbox::NetSandbox(const CgroupSandbox& cgroup) : host_(&cgroup), peer_(nullptr) {
  const auto up = [](const char* device, const char* v4, const char* v6) {
    return std::string("ip addr add ") + v4 + "/24 dev " + device + " && ip -6 addr add " + v6 + "/64 nodad dev " +
           device + " && ip link set lo up && ip link set " + device + " up";
  };
  host_.Run("ip link add bht0 type veth peer name bht1 && ip link set bht1 netns " + std::to_string(peer_.pid()));
  host_.Run(up("bht0", kHost4, kHost6));
  peer_.Run(up("bht1", kPeer4, kPeer6));
}

}  // namespace bulkhead::test
