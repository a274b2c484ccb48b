// Bytes as hexadecimal text, and SHA-256.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace bulkhead {

// Lower-case hexadecimal of any bytes.
std::string ToHex(absl::string_view bytes);

// SHA-256 of `data` as 32 raw bytes.
std::string Sha256(absl::string_view data);

// `count` bytes from the kernel's random generator; aborts when there is none.
std::string RandomBytes(size_t count);

// RFC 4648 base64url without padding.
std::string ToBase64Url(absl::string_view bytes);

}  // namespace bulkhead
