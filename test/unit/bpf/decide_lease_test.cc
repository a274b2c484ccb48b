// When a lease is over, and what that does to a wall.
#include "bulkhead/decide_lease.h"

#include <catch2/catch.hpp>
#include <limits>

#include "bulkhead/decide_net.h"

namespace {

constexpr uint64_t kEnd = 1000;
constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();

TEST_CASE("a lease is over at its end and after it, and never without one") {
  CHECK_FALSE(bh_lease_over(kEnd, 0));
  CHECK_FALSE(bh_lease_over(kEnd, kEnd - 1));
  CHECK(bh_lease_over(kEnd, kEnd));
  CHECK(bh_lease_over(kEnd, kLast));
  CHECK(bh_lease_over(1, 1));
  CHECK_FALSE(bh_lease_over(0, 0));
  CHECK_FALSE(bh_lease_over(0, kLast));
}

TEST_CASE("a wall whose lease is over is off, whatever its mode was") {
  for (const uint8_t mode : {BH_WALL_OFF, BH_WALL_SHADOW, BH_WALL_ENFORCE}) {
    CHECK(bh_leased_mode(mode, kEnd, kEnd - 1) == mode);
    CHECK(bh_leased_mode(mode, 0, kLast) == mode);
    CHECK(bh_leased_mode(mode, kEnd, kEnd) == BH_WALL_OFF);
  }
}

TEST_CASE("each wall has a lease of its own: what is left is what counts") {
  bh_config config{};
  config.contain = BH_WALL_ENFORCE;
  config.isolate = BH_WALL_ENFORCE;
  config.isolate_expires = kEnd;
  CHECK(bh_enforced_wall(&config, kEnd - 1) == BH_ISOLATE);
  CHECK(bh_enforced_wall(&config, kEnd) == BH_CONTAIN);
  config.contain_expires = kEnd + 1;
  CHECK(bh_enforced_wall(&config, kEnd) == BH_CONTAIN);
  CHECK(bh_enforced_wall(&config, kEnd + 1) == BH_NO_WALL);
}

TEST_CASE("a shadow ends with its lease too") {
  bh_config config{};
  config.isolate = BH_WALL_SHADOW;
  config.isolate_expires = kEnd;
  CHECK(bh_shadow_wall(&config, kEnd - 1) == BH_ISOLATE);
  CHECK(bh_shadow_wall(&config, kEnd) == BH_NO_WALL);
}

}  // namespace
