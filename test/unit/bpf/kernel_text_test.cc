// What the kernel adapter reads from /proc, and the keys it makes.
#include <catch2/catch.hpp>
#include <cstring>

#include "harness/status_matchers.h"
#include "sensor/kernel/blocked_files.h"
#include "sensor/kernel/cgroup.h"
#include "sensor/kernel/process_info.h"
#include "sensor/kernel/tcp_peers.h"

namespace bulkhead::sensor {
namespace {

constexpr char kTail[] = " S 1 2 3 0 -1 4194304 9 9 9 9 9 9 9 9 20 0 1 0 123456 1000 100";

TEST_CASE("a process's name may look like the end of the field") {
  for (const std::string name : {"sh", "a b", ") R 1 (", "((", "x)"}) {
    const absl::StatusOr<ProcessInfo> info = ParseProcessStat("42 (" + name + ")" + kTail);
    REQUIRE_OK(info);
    CHECK(info->start_time_ticks == 123456);
    CHECK_FALSE(info->kernel_thread);
    CHECK(info->command_line == "[" + name + "]");
  }
}

TEST_CASE("garbage instead of a process is an error") {
  for (const char* text :
       {"", "42", "42 (sh", "42 (sh) S 1 2", ")(", "42 (sh) S 1 2 3 0 -1 x 9 9 9 9 9 9 9 9 20 0 1 0 y"}) {
    CHECK_CODE(ParseProcessStat(text), kInvalidArgument);
  }
}

TEST_CASE("TCP peers of both families are read, and broken lines are not") {
  const std::vector<bh_endpoint> peers = ParseTcpPeers(
      "  sl  local_address rem_address   st\n"
      "   0: 0100007F:1F90 020000C0:01BB 01 rest\n"
      "   1: 0100007F:1F90 00000000:0000 0A rest\n"
      "   2: 00000000000000000000000001000000:0016 B80D0120000000000000000001000000:C350 01 rest\n"
      "   3: 0100007F:1F90 02000:01BB 01\n"
      "garbage\n");
  REQUIRE(peers.size() == 2);
  const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 0, 2};
  const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  CHECK(std::memcmp(peers[0].address, v4, 16) == 0);
  CHECK(peers[0].port == 443);
  CHECK(std::memcmp(peers[1].address, v6, 16) == 0);
  CHECK(peers[1].port == 50000);
}

TEST_CASE("path keys differ in every byte and in the length") {
  const auto equal = [](const std::string& a, const std::string& b) {
    const bh_path_key x = PathKey(a), y = PathKey(b);
    return std::memcmp(&x, &y, sizeof(x)) == 0;
  };
  const std::string path(300, 'a');
  CHECK(equal(path, path));
  for (size_t i = 0; i < path.size(); ++i) {
    std::string other = path;
    other[i] = 'b';
    CHECK_FALSE(equal(path, other));
  }
  CHECK_FALSE(equal("/bin/x", std::string("/bin/x\0", 7)));
  CHECK_FALSE(equal("/bin/xy", "/bin/yx"));
}

TEST_CASE("a UUID is its own key, other ids are hashed") {
  const bh_policy_key key = PolicyKey("00010203-0405-4607-8809-0a0b0c0d0e0f");
  CHECK(key.bytes[3] == 3);
  CHECK(key.bytes[15] == 15);
  const bh_policy_key a = PolicyKey("one"), b = PolicyKey("two");
  CHECK(std::memcmp(&a, &b, sizeof(a)) != 0);
}

TEST_CASE("a scope holds its children and not its namesakes") {
  Scope scope;
  scope.relative = "/a/b";
  scope.level = 2;
  CHECK(IsInside(scope, "/a/b"));
  CHECK(IsInside(scope, "/a/b/c"));
  CHECK_FALSE(IsInside(scope, "/a/bc"));
  CHECK_FALSE(IsInside(scope, "/a"));
  scope.level = 0;
  CHECK(IsInside(scope, "/anything"));
}

}  // namespace
}  // namespace bulkhead::sensor
