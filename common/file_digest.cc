// SHA-256 of a file's content, read piece by piece.
#include "common/file_digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errno_status.h"

namespace bulkhead {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;
constexpr size_t kDigestBytes = 32;

}  // namespace

absl::StatusOr<std::string> Sha256OfFile(int fd, uint64_t limit) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return absl::ResourceExhaustedError("start a SHA-256");
  }
  std::vector<char> piece(kPieceBytes);
  uint64_t done = 0;
  while (true) {
    const ssize_t got = pread(fd, piece.data(), piece.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoToStatus(errno, "read a file to hash it");
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
    if (done > limit) return absl::ResourceExhaustedError(absl::StrCat("longer than ", limit, " bytes; not hashed"));
    EVP_DigestUpdate(context.get(), piece.data(), static_cast<size_t>(got));
  }
  std::string digest(kDigestBytes, '\0');
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

}  // namespace bulkhead
