// AF_XDP sockets: frames from a ring in shared memory straight to the driver, below the IP stack and traffic control.
#include <linux/if_ether.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/errno_status.h"
#include "common/status_macros.h"
#include "test/leak/probe.h"
#include "test/leak/sockets.h"
#include "test/leak/uring.h"

namespace bulkhead::leak {
namespace {

constexpr uint32_t kFrameBytes = 2048;
constexpr uint32_t kFrames = 16;
constexpr int kBindTries = 50;

// Memory of this process, given back at the end.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address_ != MAP_FAILED) munmap(address_, bytes_);
  }

  absl::Status Map(size_t bytes, int flags, int fd, off_t offset) {
    bytes_ = bytes;
    address_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);
    return address_ == MAP_FAILED ? ErrnoToStatus(errno, "mmap") : absl::OkStatus();
  }

  template <typename T>
  T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(static_cast<char*>(address_) + offset);
  }

 private:
  void* address_ = MAP_FAILED;
  size_t bytes_ = 0;
};

class XdpProbe : public Probe {
 public:
  struct Way {
    bool before = false;        // the socket was bound before the order
    bool wake_by_poll = false;  // poll(2) instead of sendto(2): no security hook sees it
    bool handed_over = false;   // in a message between two processes while the order comes
  };
  explicit XdpProbe(Way way) : way_(way) {}

  absl::Status Prepare(const Shot&) override {
    if (way_.before) RETURN_IF_ERROR(Open());
    return way_.handed_over ? HandOver() : absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    if (!way_.before) RETURN_IF_ERROR(Open());
    if (way_.handed_over) RETURN_IF_ERROR(TakeOver());
    RETURN_IF_ERROR(Queue(shot));
    return Wake();
  }

 protected:
  int fd() const { return fd_.get(); }
  void Close() { fd_.Reset(); }

  absl::Status Queue(const Shot& shot) {
    const std::string frame = FrameToPeer(ETH_P_IP, Ipv4UdpPacket(shot.token, shot.port, kOwnAddress4));
    memcpy(umem_.At<char>(0), frame.data(), frame.size());
    *ring_.At<xdp_desc>(offsets_.tx.desc) = {.addr = 0, .len = static_cast<uint32_t>(frame.size()), .options = 0};
    __atomic_store_n(ring_.At<uint32_t>(offsets_.tx.producer), 1, __ATOMIC_RELEASE);
    return absl::OkStatus();
  }

 private:
  absl::Status Wake() {
    pollfd waiting = {fd_.get(), POLLOUT, 0};
    if (way_.wake_by_poll) {
      if (poll(&waiting, 1, 0) < 0) return ErrnoToStatus(errno, "poll");
    } else if (sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0) {
      return ErrnoToStatus(errno, "sendto");
    }
    return absl::OkStatus();
  }

  // Leaves the socket in a Unix socket's queue, where no process holds it.
  absl::Status HandOver() {
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, mail_) != 0) return ErrnoToStatus(errno, "socketpair");
    Letter letter;
    letter.header()->cmsg_len = CMSG_LEN(sizeof(int));
    letter.header()->cmsg_level = SOL_SOCKET;
    letter.header()->cmsg_type = SCM_RIGHTS;
    const int handed = fd_.get();
    memcpy(CMSG_DATA(letter.header()), &handed, sizeof(handed));
    if (sendmsg(mail_[0], &letter.message, 0) < 0) return ErrnoToStatus(errno, "hand the socket over");
    fd_.Reset();
    return absl::OkStatus();
  }

  absl::Status TakeOver() {
    Letter letter;
    if (recvmsg(mail_[1], &letter.message, MSG_CMSG_CLOEXEC) < 0) return ErrnoToStatus(errno, "recvmsg");
    if (letter.header() == nullptr) return absl::PermissionDeniedError("the socket was not handed over");
    int received = -1;
    memcpy(&received, CMSG_DATA(letter.header()), sizeof(int));
    fd_.Reset(received);
    return absl::OkStatus();
  }

  absl::Status Option(int option, const void* value, socklen_t bytes) {
    if (setsockopt(fd_.get(), SOL_XDP, option, value, bytes) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "an option of AF_XDP");
  }

  absl::Status Open() {
    ASSIGN_OR_RETURN(fd_, OpenSocket(AF_XDP, SOCK_RAW, 0));
    RETURN_IF_ERROR(umem_.Map(kFrames * kFrameBytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    xdp_umem_reg memory{};
    memory.addr = reinterpret_cast<uint64_t>(umem_.At<char>(0));
    memory.len = kFrames * kFrameBytes;
    memory.chunk_size = kFrameBytes;
    RETURN_IF_ERROR(Option(XDP_UMEM_REG, &memory, sizeof(memory)));
    for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING}) {
      RETURN_IF_ERROR(Option(ring, &kFrames, sizeof(kFrames)));
    }
    socklen_t length = sizeof(offsets_);
    if (getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets_, &length) != 0) {
      return ErrnoToStatus(errno, "XDP_MMAP_OFFSETS");
    }
    RETURN_IF_ERROR(ring_.Map(offsets_.tx.desc + kFrames * sizeof(xdp_desc), MAP_SHARED, fd_.get(), XDP_PGOFF_TX_RING));
    sockaddr_xdp to{};
    to.sxdp_family = AF_XDP;
    to.sxdp_flags = XDP_COPY;
    to.sxdp_ifindex = if_nametoindex(kInterface);
    // The kernel lets go of the queue some time after the socket of the probe before is closed.
    for (int tries = 0; bind(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0; ++tries) {
      if (errno != EBUSY || tries == kBindTries) return ErrnoToStatus(errno, "bind");
      usleep(100'000);
    }
    return absl::OkStatus();
  }

  // A message of one byte with room for one descriptor.
  struct Letter {
    char byte = 0;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part = {&byte, 1};
    msghdr message = {nullptr, 0, &part, 1, control, sizeof(control), 0};
    cmsghdr* header() { return CMSG_FIRSTHDR(&message); }
  };

  const Way way_;
  UniqueFd fd_;
  int mail_[2] = {-1, -1};
  Mapping umem_;
  Mapping ring_;
  xdp_mmap_offsets offsets_{};
};

// No descriptor at all: the socket is registered with an io_uring, which polls it.
class RegisteredXdpProbe : public XdpProbe {
 public:
  RegisteredXdpProbe() : XdpProbe({.before = true}) {}

  absl::Status Prepare(const Shot& shot) override {
    RETURN_IF_ERROR(XdpProbe::Prepare(shot));
    RETURN_IF_ERROR(uring_.Open());
    int files[] = {fd()};
    RETURN_IF_ERROR(uring_.Register(files, 1));
    Close();
    return absl::OkStatus();
  }

  absl::Status Attempt(const Shot& shot) override {
    RETURN_IF_ERROR(Queue(shot));
    io_uring_sqe poll{};
    poll.opcode = IORING_OP_POLL_ADD;
    poll.flags = IOSQE_FIXED_FILE;
    poll.poll32_events = POLLOUT;
    return uring_.Do(poll, "io_uring poll");
  }

 private:
  Uring uring_;
};

ProbeFactory Xdp(XdpProbe::Way way) {
  return [way] { return std::make_unique<XdpProbe>(way); };
}

}  // namespace

void AddXdpProbes(ProbeTable& table) {
  table["xdp"] = Xdp({});
  table["xdp_before"] = Xdp({.before = true});
  table["xdp_before_poll"] = Xdp({.before = true, .wake_by_poll = true});
  table["xdp_handed_over"] = Xdp({.before = true, .wake_by_poll = true, .handed_over = true});
  table["xdp_registered"] = [] { return std::make_unique<RegisteredXdpProbe>(); };
}

}  // namespace bulkhead::leak
