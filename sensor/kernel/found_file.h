// A regular file as it was found: opened without side effects, its witness of change, its content.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "bulkhead/abi.h"
#include "common/unique_fd.h"

namespace bulkhead::sensor {

// What changes when a file or its content does; good enough to save work, not to decide anything.
struct FileWitness {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t changed_seconds = 0;  // ctime
  int64_t changed_nanoseconds = 0;

  friend bool operator==(const FileWitness&, const FileWitness&) = default;
};

// A file's content as the kernel's programs look for it.
struct FileContent {
  std::string sha256;  // 32 bytes
  bh_print_key print{};
  uint64_t size = 0;
};

class FoundFile {
 public:
  // Follows symbolic links; needs no permission on the file, opens no device, wakes no automounter. NotFound: nothing
  // is there. FailedPrecondition: a directory, or no regular file; the message says what.
  static absl::StatusOr<FoundFile> Open(const std::string& path);

  // An O_PATH descriptor.
  int fd() const { return fd_.get(); }
  const FileWitness& witness() const { return witness_; }

  // Reads the whole content. ResourceExhausted: longer than 512 MiB.
  absl::StatusOr<FileContent> Read() const;

 private:
  FoundFile(UniqueFd fd, const FileWitness& witness) : fd_(std::move(fd)), witness_(witness) {}

  UniqueFd fd_;
  FileWitness witness_;
};

}  // namespace bulkhead::sensor
