// An IPv4 or IPv6 address with a prefix length, as a value.
#include "common/ip_prefix.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace bulkhead {
namespace {

constexpr int kMappedBits = 96;
constexpr std::array<uint8_t, 12> kMappedHead = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::array<uint8_t, 16> Masked(std::array<uint8_t, 16> bytes, int length) {
  for (int i = 0; i < 16; ++i) {
    const int keep = std::clamp(length - 8 * i, 0, 8);
    bytes[i] &= static_cast<uint8_t>(0xff00 >> keep);
  }
  return bytes;
}

std::string AddressText(const std::array<uint8_t, 16>& bytes, bool v4) {
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes.data() + 12 : bytes.data(), buffer, sizeof(buffer));
  return buffer;
}

}  // namespace

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  IpPrefix prefix;
  prefix.any_ = false;
  // inet_pton stops at a NUL, so "10.0.0.1\0evil" must not get that far.
  const bool clean = address.find('\0') == std::string::npos;
  if (clean && inet_pton(AF_INET, address.c_str(), prefix.bytes_.data() + 12) == 1) {
    std::copy(kMappedHead.begin(), kMappedHead.end(), prefix.bytes_.begin());
    prefix.v4_ = true;
  } else if (clean && inet_pton(AF_INET6, address.c_str(), prefix.bytes_.data()) == 1) {
    prefix.v4_ = std::equal(kMappedHead.begin(), kMappedHead.end(), prefix.bytes_.begin());
    if (prefix.v4_ && slash != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CHexEscape(text), "\" is a v4-mapped prefix; write it as IPv4"));
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text), "\" is not an IPv4 or IPv6 address or prefix"));
  }
  const int bits = prefix.v4_ ? 32 : 128;
  int length = bits;
  if (slash != absl::string_view::npos) {
    const absl::string_view digits = text.substr(slash + 1);
    const bool numeric =
        !digits.empty() && digits.size() <= 3 && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
    if (!numeric || !absl::SimpleAtoi(digits, &length) || length > bits) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CHexEscape(text), "\": the prefix length must be 0..", bits));
    }
  }
  prefix.length_ = prefix.v4_ ? length + kMappedBits : length;
  const auto masked = Masked(prefix.bytes_, prefix.length_);
  if (masked != prefix.bytes_) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" has host bits set; did you mean ",
                                                   AddressText(masked, prefix.v4_), "/", length, " or ",
                                                   AddressText(prefix.bytes_, prefix.v4_), "?"));
  }
  return prefix;
}

bool IpPrefix::Contains(const IpPrefix& other) const {
  if (any_) return true;
  return !other.any_ && v4_ == other.v4_ && length_ <= other.length_ && Masked(other.bytes_, length_) == bytes_;
}

std::string IpPrefix::ToString() const {
  if (any_) return "any";
  const int bits = v4_ ? 32 : 128;
  const int length = v4_ ? length_ - kMappedBits : length_;
  const std::string address = AddressText(bytes_, v4_);
  return length == bits ? address : absl::StrCat(address, "/", length);
}

}  // namespace bulkhead
