// The tamper guard's one-time offline code.
#include "common/guard_code.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"

namespace bulkhead {
namespace {

constexpr absl::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford's base 32
constexpr size_t kCharacters = 26;                                           // of 5 bits: at least 128
constexpr size_t kGroup = 4;

char Canonical(char typed) {
  const char upper = absl::ascii_toupper(static_cast<unsigned char>(typed));
  if (upper == 'O') return '0';
  return upper == 'I' || upper == 'L' ? '1' : upper;
}

}  // namespace

std::string NewGuardCode() {
  std::string code;
  size_t count = 0;
  for (const char byte : RandomBytes(kCharacters)) {
    if (count != 0 && count % kGroup == 0) code += '-';
    code += kAlphabet[static_cast<unsigned char>(byte) % kAlphabet.size()];
    ++count;
  }
  return code;
}

absl::StatusOr<std::string> GuardCodeHash(absl::string_view sensor_id, absl::string_view code) {
  std::string canonical;
  for (const char typed : code) {
    if (typed == '-' || absl::ascii_isspace(static_cast<unsigned char>(typed))) continue;
    canonical += Canonical(typed);
    if (kAlphabet.find(canonical.back()) == absl::string_view::npos) {
      return absl::InvalidArgumentError("a code has only digits and letters, and no U");
    }
  }
  if (canonical.size() != kCharacters) {
    return absl::InvalidArgumentError(
        absl::StrCat("a code has ", kCharacters, " characters; this has ", canonical.size()));
  }
  return Sha256(absl::StrCat("bulkhead guard code 1\n", sensor_id, "\n", canonical));
}

}  // namespace bulkhead
