// io_uring: the same calls without making them.
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"

namespace bulkhead::leak {
namespace {

// One ring with room for one operation at a time. The process ends soon: nothing is unmapped.
class Ring {
 public:
  absl::Status Open() {
    io_uring_params parameters{};
    fd_.Reset(static_cast<int>(syscall(SYS_io_uring_setup, 4, &parameters)));
    if (!fd_.valid()) return ErrnoToStatus(errno, "io_uring_setup");
    submission_ = Map(IORING_OFF_SQ_RING, parameters.sq_off.array + parameters.sq_entries * sizeof(uint32_t));
    completion_ = Map(IORING_OFF_CQ_RING, parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
    entries_ = reinterpret_cast<io_uring_sqe*>(Map(IORING_OFF_SQES, parameters.sq_entries * sizeof(io_uring_sqe)));
    if (submission_ == MAP_FAILED || completion_ == MAP_FAILED || entries_ == MAP_FAILED)
      return ErrnoToStatus(errno, "mmap");
    parameters_ = parameters;
    return absl::OkStatus();
  }

  // Submits one entry, linked to a timeout of half a second, and returns what became of it.
  absl::Status Do(const io_uring_sqe& entry, const std::string& what) {
    __kernel_timespec limit = {0, 500'000'000};
    io_uring_sqe timeout{};
    timeout.opcode = IORING_OP_LINK_TIMEOUT;
    timeout.addr = reinterpret_cast<uint64_t>(&limit);
    timeout.len = 1;
    timeout.user_data = 1;
    Queue(entry, IOSQE_IO_LINK);
    Queue(timeout, 0);
    if (syscall(SYS_io_uring_enter, fd_.get(), 2, 2, IORING_ENTER_GETEVENTS, nullptr, 0) < 0)
      return ErrnoToStatus(errno, what);
    int result = 0;
    for (int i = 0; i < 2; ++i) {
      const io_uring_cqe completed = Take();
      if (completed.user_data == 0) result = completed.res;
    }
    return result < 0 ? ErrnoToStatus(result, what) : absl::OkStatus();
  }

 private:
  char* Map(uint64_t offset, size_t size) {
    return static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), static_cast<off_t>(offset)));
  }
  static std::atomic_ref<uint32_t> Word(char* base, uint32_t offset) {
    return std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(base + offset));
  }
  void Queue(const io_uring_sqe& entry, uint8_t flags) {
    const uint32_t tail = Word(submission_, parameters_.sq_off.tail).load();
    const uint32_t index = tail & (parameters_.sq_entries - 1);
    entries_[index] = entry;
    entries_[index].flags = flags;
    Word(submission_, parameters_.sq_off.array + index * sizeof(uint32_t)).store(index);
    Word(submission_, parameters_.sq_off.tail).store(tail + 1);
  }
  io_uring_cqe Take() {
    const uint32_t head = Word(completion_, parameters_.cq_off.head).load();
    const uint32_t index = head & (parameters_.cq_entries - 1);
    io_uring_cqe completed;
    memcpy(&completed, completion_ + parameters_.cq_off.cqes + index * sizeof(completed), sizeof(completed));
    Word(completion_, parameters_.cq_off.head).store(head + 1);
    return completed;
  }

  UniqueFd fd_;
  io_uring_params parameters_{};
  char* submission_ = nullptr;
  char* completion_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
};

class UringStreamProbe : public Probe {
 public:
  absl::Status Attempt(const Shot& shot) override {
    Ring ring;
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
    Ring ring;
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

}  // namespace

void AddUringProbes(ProbeTable& table) {
  table["io_uring_tcp"] = [] { return std::make_unique<UringStreamProbe>(); };
  table["io_uring_udp"] = [] { return std::make_unique<UringDatagramProbe>(); };
}

}  // namespace bulkhead::leak
