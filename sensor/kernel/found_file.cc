// A regular file as it was found.
#include "sensor/kernel/found_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bulkhead/decide_exec.h"
#include "common/errno_status.h"
#include "common/file_digest.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr uint64_t kMaxHashedBytes = 512ULL << 20;

absl::StatusOr<bh_print_key> PrintOf(int fd, uint64_t size) {
  std::array<uint64_t, BH_HEAD_BYTES / sizeof(uint64_t)> head{};
  if (pread(fd, head.data(), sizeof(head), 0) < 0) return ErrnoToStatus(errno, "read the start of a file");
  bh_path_key hash;
  bh_path_hash_start(&hash, BH_HEAD_BYTES);
  for (const uint64_t word : head) bh_path_hash_word(&hash, word);
  return bh_print_key{size, {hash.hash[0], hash.hash[1]}};
}

}  // namespace

absl::StatusOr<FoundFile> FoundFile::Open(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(errno, absl::StrCat("open ", path));
  struct stat found {};
  if (fstat(fd.get(), &found) != 0) return ErrnoToStatus(errno, absl::StrCat("look at ", path));
  if (S_ISDIR(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a directory; name the file to block"));
  }
  if (!S_ISREG(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file, so nothing can execute it"));
  }
  const FileWitness witness{found.st_dev, found.st_ino, static_cast<uint64_t>(found.st_size), found.st_ctim.tv_sec,
                            found.st_ctim.tv_nsec};
  return FoundFile(std::move(fd), witness);
}

absl::StatusOr<FileContent> FoundFile::Read() const {
  // Through the descriptor, so that it is the very file that was looked at.
  const UniqueFd fd(open(absl::StrCat("/proc/self/fd/", fd_.get()).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(errno, "open a file to hash it");
  FileContent content;
  ASSIGN_OR_RETURN(content.sha256, Sha256OfFile(fd.get(), kMaxHashedBytes));
  struct stat found {};
  if (fstat(fd.get(), &found) != 0) return ErrnoToStatus(errno, "look at a file that was hashed");
  content.size = static_cast<uint64_t>(found.st_size);
  ASSIGN_OR_RETURN(content.print, PrintOf(fd.get(), content.size));
  return content;
}

}  // namespace bulkhead::sensor
