// An IPv4 or IPv6 address with a prefix length, as a value.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

// Always stored as 16 bytes in network byte order; IPv4 is stored v4-mapped (::ffff:a.b.c.d), so that one table serves
// both families.
class IpPrefix {
 public:
  // Any address of either family.
  IpPrefix() = default;

  // Reads "192.0.2.1", "192.0.2.0/24", "2001:db8::1" or "2001:db8::/32". InvalidArgument says what is wrong: not an
  // address, a length out of range, or host bits set (and then what was probably meant). v4-mapped IPv6 text is read as
  // IPv4.
  static absl::StatusOr<IpPrefix> Parse(absl::string_view text);

  // True for the default value: any address of either family.
  bool is_any() const { return any_; }
  bool is_ipv4() const { return !any_ && v4_; }
  bool is_ipv6() const { return !any_ && !v4_; }

  // 16 bytes, network byte order.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  // Significant bits of bytes(), 0..128: an IPv4 /24 has 120.
  int mapped_length() const { return length_; }

  // True when every address of `other` is in this prefix.
  bool Contains(const IpPrefix& other) const;

  // Canonical text without "/32" or "/128"; "any" for any.
  std::string ToString() const;

  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;

 private:
  std::array<uint8_t, 16> bytes_{};
  int length_ = 0;
  bool v4_ = false;
  bool any_ = true;
};

}  // namespace bulkhead
