// The control plane's addresses on disk.
#include "sensor/store/address_store.h"

#include <catch2/catch.hpp>

#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

TEST_CASE("names and addresses survive") {
  const test::TempDir dir;
  const AddressStore store(dir.path());
  CHECK(store.Load()->empty());
  const std::vector<ResolvedHost> hosts = {
      {{"cp.example.net", 8443}, {{*IpPrefix::Parse("192.0.2.1"), 8443}, {*IpPrefix::Parse("2001:db8::1"), 8443}}},
      {{"2001:db8::2", 443}, {{*IpPrefix::Parse("2001:db8::2"), 443}}}};
  REQUIRE_OK(store.Save(hosts));
  CHECK(*store.Load() == hosts);
}

TEST_CASE("lines that are not addresses are refused") {
  for (const char* text : {"host", "host:1 nowhere", "host:1 192.0.2.0/24", "host:0 192.0.2.1"}) {
    INFO(text);
    CHECK_CODE(DecodeAddresses(text), kDataLoss);
  }
}

}  // namespace
}  // namespace bulkhead::sensor
