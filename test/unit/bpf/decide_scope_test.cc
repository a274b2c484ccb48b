// Which walls a socket stands behind when policies of several scopes are in force.
#include "bulkhead/decide_scope.h"

#include <catch2/catch.hpp>
#include <random>

namespace {

constexpr uint32_t kAll = ~0U;

bh_scoped_wall Scoped(bh_wall wall, bh_wall_mode mode, uint64_t expires = 0, bh_action action = BH_ACTION_DENY) {
  bh_scoped_wall scoped{};
  scoped.cgroup = 1;
  scoped.wall = wall;
  scoped.mode = mode;
  scoped.action = action;
  scoped.expires = expires;
  return scoped;
}

bh_config With(std::initializer_list<bh_scoped_wall> walls) {
  bh_config config{};
  for (const bh_scoped_wall& wall : walls) config.scoped[config.scoped_walls++] = wall;
  return config;
}

bool Is(const bh_walls& walls, uint8_t enforced, uint8_t enforced_by, uint8_t shadow = BH_NO_WALL,
        uint8_t shadow_by = 0) {
  return walls.enforced == enforced && walls.enforced_by == enforced_by && walls.shadow == shadow &&
         walls.shadow_by == shadow_by;
}

}  // namespace

TEST_CASE("decide_scope: who is in no scope stands behind the wall without one only") {
  bh_config config = With({Scoped(BH_ISOLATE, BH_WALL_ENFORCE)});
  CHECK(Is(bh_walls_for(&config, 0, 0), BH_NO_WALL, 0));
  config.contain = BH_WALL_ENFORCE;
  config.isolate = BH_WALL_SHADOW;
  CHECK(Is(bh_walls_for(&config, 0, 0), BH_CONTAIN, 0, BH_ISOLATE, 0));
}

TEST_CASE("decide_scope: isolation goes before containment, whichever is nearer") {
  bh_config config = With({Scoped(BH_CONTAIN, BH_WALL_ENFORCE), Scoped(BH_ISOLATE, BH_WALL_ENFORCE)});
  CHECK(Is(bh_walls_for(&config, 0b01, 0), BH_CONTAIN, 1));
  CHECK(Is(bh_walls_for(&config, 0b10, 0), BH_ISOLATE, 2));
  CHECK(Is(bh_walls_for(&config, 0b11, 0), BH_ISOLATE, 2));
  config.contain = BH_WALL_ENFORCE;
  CHECK(Is(bh_walls_for(&config, 0b01, 0), BH_CONTAIN, 0));
  CHECK(Is(bh_walls_for(&config, 0b11, 0), BH_ISOLATE, 2));
  config.isolate = BH_WALL_ENFORCE;
  CHECK(Is(bh_walls_for(&config, 0b11, 0), BH_ISOLATE, 0));
}

TEST_CASE("decide_scope: a shadow never hides an enforced wall, and is counted beside it") {
  bh_config config = With({Scoped(BH_ISOLATE, BH_WALL_SHADOW), Scoped(BH_CONTAIN, BH_WALL_ENFORCE)});
  CHECK(Is(bh_walls_for(&config, kAll, 0), BH_CONTAIN, 2, BH_ISOLATE, 1));
  config.isolate = BH_WALL_ENFORCE;
  CHECK(Is(bh_walls_for(&config, kAll, 0), BH_ISOLATE, 0, BH_ISOLATE, 1));
}

TEST_CASE("decide_scope: each policy has a lease of its own") {
  const bh_config config = With({Scoped(BH_ISOLATE, BH_WALL_ENFORCE, 100), Scoped(BH_CONTAIN, BH_WALL_ENFORCE, 200)});
  CHECK(Is(bh_walls_for(&config, kAll, 99), BH_ISOLATE, 1));
  CHECK(Is(bh_walls_for(&config, kAll, 100), BH_CONTAIN, 2));
  CHECK(Is(bh_walls_for(&config, kAll, 200), BH_NO_WALL, 0));
}

TEST_CASE("decide_scope: a containment kills where it covers, while its lease lasts") {
  bh_config config =
      With({Scoped(BH_CONTAIN, BH_WALL_ENFORCE), Scoped(BH_CONTAIN, BH_WALL_ENFORCE, 100, BH_ACTION_SIGKILL),
            Scoped(BH_CONTAIN, BH_WALL_SHADOW, 0, BH_ACTION_SIGKILL)});
  CHECK(bh_killer(&config, 0, 0) == 0);
  CHECK(bh_killer(&config, 0b001, 0) == 0);
  CHECK(bh_killer(&config, 0b100, 0) == 0);
  CHECK(bh_killer(&config, kAll, 0) == 3);
  CHECK(bh_killer(&config, kAll, 100) == 0);
  config.contain_action = BH_ACTION_SIGKILL;
  CHECK(bh_killer(&config, kAll, 0) == 3);
  config.contain = BH_WALL_ENFORCE;
  CHECK(bh_killer(&config, 0, 0) == 1);
}

TEST_CASE("decide_scope: a hit is counted on the policy whose wall it is") {
  bh_config config = With({Scoped(BH_CONTAIN, BH_WALL_ENFORCE), Scoped(BH_ISOLATE, BH_WALL_ENFORCE)});
  CHECK(bh_wall_policy(&config, BH_CONTAIN, 0) == &config.contain_policy);
  CHECK(bh_wall_policy(&config, BH_ISOLATE, 0) == &config.isolate_policy);
  CHECK(bh_wall_policy(&config, BH_CONTAIN, 1) == &config.scoped[0].policy);
  CHECK(bh_wall_policy(&config, BH_ISOLATE, BH_MAX_SCOPED_WALLS) == &config.scoped[BH_MAX_SCOPED_WALLS - 1].policy);
}

TEST_CASE("decide_scope: as strict as the strictest of all that cover, in every combination") {
  std::mt19937 random(7);
  const auto pick = [&](uint32_t count) { return static_cast<uint32_t>(random() % count); };
  for (int round = 0; round < 20000; ++round) {
    bh_config config{};
    config.contain = pick(3);
    config.isolate = pick(3);
    config.scoped_walls = pick(BH_MAX_SCOPED_WALLS + 1);
    for (bh_scoped_wall& wall : config.scoped) {
      wall = Scoped(static_cast<bh_wall>(1 + pick(2)), static_cast<bh_wall_mode>(pick(3)), pick(3) * 10);
    }
    const uint32_t covered = random();
    const uint64_t now = 1 + pick(20);
    uint8_t strictest[3] = {};  // by mode
    const auto see = [&](uint8_t wall, uint8_t mode) { strictest[mode] = std::max(strictest[mode], wall); };
    see(BH_CONTAIN, config.contain);
    see(BH_ISOLATE, config.isolate);
    for (uint32_t i = 0; i < config.scoped_walls; ++i) {
      const bh_scoped_wall& wall = config.scoped[i];
      if ((covered >> i & 1) != 0 && (wall.expires == 0 || now < wall.expires)) see(wall.wall, wall.mode);
    }
    const bh_walls walls = bh_walls_for(&config, covered, now);
    REQUIRE(walls.enforced == strictest[BH_WALL_ENFORCE]);
    REQUIRE(walls.shadow == strictest[BH_WALL_SHADOW]);
    if (walls.enforced_by != 0) REQUIRE((covered >> (walls.enforced_by - 1) & 1) != 0);
  }
}
