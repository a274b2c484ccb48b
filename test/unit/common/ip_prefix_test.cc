// IpPrefix: what it reads, what it refuses and with which words.
#include "common/ip_prefix.h"

#include <catch2/catch.hpp>

#include "harness/status_matchers.h"

namespace bulkhead {
namespace {

std::string RoundTrip(absl::string_view text) {
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(text);
  return prefix.ok() ? prefix->ToString() : std::string(prefix.status().message());
}

TEST_CASE("addresses and prefixes are read and written in canonical form") {
  CHECK(RoundTrip("192.0.2.1") == "192.0.2.1");
  CHECK(RoundTrip("192.0.2.1/32") == "192.0.2.1");
  CHECK(RoundTrip("192.0.2.0/24") == "192.0.2.0/24");
  CHECK(RoundTrip("0.0.0.0/0") == "0.0.0.0/0");
  CHECK(RoundTrip("2001:DB8:0::1") == "2001:db8::1");
  CHECK(RoundTrip("2001:db8::/32") == "2001:db8::/32");
  CHECK(RoundTrip("::/0") == "::/0");
  CHECK(RoundTrip("::ffff:192.0.2.1") == "192.0.2.1");
  CHECK(IpPrefix().ToString() == "any");
}

TEST_CASE("what is not an address or prefix is refused with the reason") {
  CHECK_THAT(RoundTrip("10.0.1.5/8"), Catch::Contains("host bits") && Catch::Contains("10.0.0.0/8"));
  CHECK_THAT(RoundTrip("2001:db8::1/32"), Catch::Contains("host bits"));
  CHECK_THAT(RoundTrip("10.0.0.0/33"), Catch::Contains("0..32"));
  CHECK_THAT(RoundTrip("::/129"), Catch::Contains("0..128"));
  CHECK_THAT(RoundTrip("::ffff:10.0.0.0/104"), Catch::Contains("v4-mapped"));
  for (const char* bad : {"", "/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0", "010.0.0.1x",
                          "example.org", "10.0.0.1 "}) {
    INFO(bad);
    CHECK_CODE(IpPrefix::Parse(bad), kInvalidArgument);
  }
  CHECK_CODE(IpPrefix::Parse(absl::string_view("10.0.0.1\0.evil", 14)), kInvalidArgument);
}

TEST_CASE("containment follows prefix length and family") {
  const IpPrefix ten = *IpPrefix::Parse("10.0.0.0/8");
  CHECK(ten.Contains(*IpPrefix::Parse("10.1.2.3")));
  CHECK(ten.Contains(ten));
  CHECK_FALSE(ten.Contains(*IpPrefix::Parse("11.0.0.0/8")));
  CHECK_FALSE(ten.Contains(*IpPrefix::Parse("0.0.0.0/0")));
  CHECK_FALSE(ten.Contains(IpPrefix()));
  CHECK(IpPrefix().Contains(ten));
  // ::/0 is every IPv6 address, not every IPv4 one.
  CHECK_FALSE(IpPrefix::Parse("::/0")->Contains(ten));
}

}  // namespace
}  // namespace bulkhead
