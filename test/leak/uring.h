// One io_uring with room for one operation at a time, by the kernel's own interface.
#pragma once

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "common/errno_status.h"
#include "common/unique_fd.h"

namespace bulkhead::leak {

// Not thread safe. The process ends soon: nothing is unmapped.
class Uring {
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

  // From now on the ring holds these files, and operations may name them by index (IOSQE_FIXED_FILE).
  absl::Status Register(const int* files, unsigned count) {
    if (syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_FILES, files, count) == 0) return absl::OkStatus();
    return ErrnoToStatus(errno, "io_uring_register");
  }

  // Submits one entry, linked to a timeout of half a second, and returns what became of it.
  absl::Status Do(const io_uring_sqe& entry, const std::string& what) {
    __kernel_timespec limit = {0, 500'000'000};
    io_uring_sqe timeout{};
    timeout.opcode = IORING_OP_LINK_TIMEOUT;
    timeout.addr = reinterpret_cast<uint64_t>(&limit);
    timeout.len = 1;
    timeout.user_data = 1;
    Queue(entry, entry.flags | IOSQE_IO_LINK);
    Queue(timeout, 0);
    if (syscall(SYS_io_uring_enter, fd_.get(), 2, 2, IORING_ENTER_GETEVENTS, nullptr, 0) < 0)
      return ErrnoToStatus(errno, what);
    int result = 0;
    for (int i = 0; i < 2; ++i) {
      const io_uring_cqe completed = Take();
      // A zero-copy send completes twice: when it was made, and when the kernel let go of the data.
      if (completed.user_data == 0 && !(completed.flags & IORING_CQE_F_NOTIF)) result = completed.res;
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

}  // namespace bulkhead::leak
