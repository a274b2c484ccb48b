// Reading "HOST:PORT".
#include "sensor/domain/host_port.h"

#include <catch2/catch.hpp>

#include "harness/status_matchers.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE("names and addresses of both families are read and written back") {
  for (const char* text : {"cp.example.net:8443", "192.0.2.1:1", "[2001:db8::1]:65535", "localhost:443"}) {
    const auto value = ParseHostPort(text);
    REQUIRE_OK(value);
    CHECK(ToString(*value) == text);
  }
  CHECK(ParseHostPort("[2001:db8::1]:443")->host == "2001:db8::1");
}

TEST_CASE("what is not HOST:PORT is refused") {
  for (const char* text :
       {"", "host", "host:", ":443", "host:0", "host:65536", "host:-1", "host:x", "2001:db8::1:443", "[2001:db8::1:443",
        "[host]:443", "[2001:db8::/32]:443", "http://host:443", "a b:1", "-host:1", "[]:1", "[:1"}) {
    INFO(text);
    CHECK_CODE(ParseHostPort(text), kInvalidArgument);
  }
}

TEST_CASE("endpoints of several names are listed once each") {
  const ControlPlaneEndpoint shared{*IpPrefix::Parse("192.0.2.1"), 443};
  const ControlPlaneEndpoint own{*IpPrefix::Parse("192.0.2.2"), 443};
  const auto all = EndpointsOf({{{"a", 443}, {shared}}, {{"b", 443}, {shared, own}}});
  REQUIRE(all.size() == 2);
  CHECK(all[1] == own);
}

}  // namespace
}  // namespace bulkhead::sensor
