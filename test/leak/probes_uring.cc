// io_uring: the same calls without making them.
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"
#include "test/leak/uring.h"

namespace bulkhead::leak {
namespace {

class UringStreamProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    Uring ring;
    RETURN_IF_ERROR(ring.Open());
    ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
    const Endpoint to = MakeEndpoint(kPeer4, shot.port);
    io_uring_sqe connect{};
    connect.opcode = IORING_OP_CONNECT;
    connect.fd = fd.get();
    connect.addr = reinterpret_cast<uint64_t>(to.get());
    connect.off = to.length;
    RETURN_IF_ERROR(ring.Do(connect, "io_uring connect"));
    io_uring_sqe send{};
    send.opcode = IORING_OP_SEND;
    send.fd = fd.get();
    send.addr = reinterpret_cast<uint64_t>(shot.token.data());
    send.len = static_cast<uint32_t>(shot.token.size());
    return ring.Do(send, "io_uring send");
  }
};

class UringDatagramProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    Uring ring;
    RETURN_IF_ERROR(ring.Open());
    ASSIGN_OR_RETURN(UniqueFd fd, OpenSocket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    Endpoint to = MakeEndpoint(kPeer4, shot.port);
    std::string data = shot.token;
    iovec part = {data.data(), data.size()};
    msghdr message{};
    message.msg_name = &to.address;
    message.msg_namelen = to.length;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    io_uring_sqe send{};
    send.opcode = IORING_OP_SENDMSG;
    send.fd = fd.get();
    send.addr = reinterpret_cast<uint64_t>(&message);
    send.len = 1;
    return ring.Do(send, "io_uring sendmsg");
  }
};

class UringZeroCopyProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    RETURN_IF_ERROR(ring_.Open());
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    const Endpoint to = MakeEndpoint(kPeer4, shot.port);
    data_ = shot.token;
    io_uring_sqe send{};
    send.opcode = IORING_OP_SEND_ZC;
    send.fd = fd_.get();
    send.addr = reinterpret_cast<uint64_t>(data_.data());
    send.len = static_cast<uint32_t>(data_.size());
    send.addr2 = reinterpret_cast<uint64_t>(to.get());
    send.addr_len = static_cast<uint16_t>(to.length);
    return ring_.Do(send, "io_uring zero-copy send");
  }

 private:
  Uring ring_;
  UniqueFd fd_;
  std::string data_;  // the kernel reads it when the packet leaves
};

}  // namespace

void AddUringProbes(ProbeTable& table) {
  table["io_uring_tcp"] = [] { return std::make_unique<UringStreamProbe>(); };
  table["io_uring_udp"] = [] { return std::make_unique<UringDatagramProbe>(); };
  table["io_uring_udp_zero_copy"] = [] { return std::make_unique<UringZeroCopyProbe>(); };
}

}  // namespace bulkhead::leak
