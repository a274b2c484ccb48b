// Bytes as hexadecimal text, and SHA-256.
#include "common/hex.h"

#include <openssl/sha.h>
#include <sys/random.h>

#include <cstdlib>

#include "absl/strings/escaping.h"

namespace bulkhead {

std::string ToHex(absl::string_view bytes) {
  return absl::BytesToHexString(bytes);
}

std::string Sha256(absl::string_view data) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  size_t filled = 0;
  while (filled < count) {
    const ssize_t got = getrandom(bytes.data() + filled, count - filled, 0);
    if (got <= 0) std::abort();
    filled += static_cast<size_t>(got);
  }
  return bytes;
}

std::string ToBase64Url(absl::string_view bytes) {
  std::string text = absl::WebSafeBase64Escape(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

}  // namespace bulkhead
