// The frame wall's decisions, without a kernel.
#include "bulkhead/decide_frames.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>

namespace {

bh_walls Walls(bh_wall_mode contain, bh_wall_mode isolate) {
  bh_config config{};
  config.contain = contain;
  config.isolate = isolate;
  return bh_host_walls(&config, 0);
}

}  // namespace

TEST_CASE("decide_frames: the families that cgroup_skb sees are the kernel's numbers, and no others") {
  for (int family = -3; family < 100; ++family) {
    INFO(family);
    const bool seen = family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_KEY ||
                      family == AF_NETLINK || family == AF_ALG;
    CHECK(bh_family_is_seen(family, 0) == seen);
  }
}

TEST_CASE("decide_frames: an internet socket that moves its data to RDMA is not seen") {
  CHECK(bh_family_is_seen(AF_INET, 6) == 1);
  CHECK(bh_family_is_seen(AF_INET, BH_PROTOCOL_SMC) == 0);
  CHECK(bh_family_is_seen(AF_INET6, BH_PROTOCOL_SMC) == 0);
}

TEST_CASE("decide_frames: which wall forbids what") {
  const bh_walls off = Walls(BH_WALL_OFF, BH_WALL_OFF);
  const bh_walls contain = Walls(BH_WALL_ENFORCE, BH_WALL_OFF);
  const bh_walls isolate = Walls(BH_WALL_OFF, BH_WALL_ENFORCE);
  const bh_walls both = Walls(BH_WALL_ENFORCE, BH_WALL_ENFORCE);
  for (const bh_frames_use use : {BH_FRAMES_OPEN, BH_FRAMES_SEND, BH_FRAMES_RECEIVE}) {
    CHECK(bh_decide_frames(&off, use) == BH_FRAMES_PASS);
    CHECK(bh_decide_frames(&isolate, use) == BH_FRAMES_DENY);
    CHECK(bh_decide_frames(&both, use) == BH_FRAMES_DENY);
    CHECK(bh_decide_frames(nullptr, use) == BH_FRAMES_DENY);
  }
  CHECK(bh_decide_frames(&contain, BH_FRAMES_OPEN) == BH_FRAMES_DENY);
  CHECK(bh_decide_frames(&contain, BH_FRAMES_SEND) == BH_FRAMES_DENY);
  CHECK(bh_decide_frames(&contain, BH_FRAMES_RECEIVE) == BH_FRAMES_PASS);
}

TEST_CASE("decide_frames: a shadow wall never denies and never hides an enforced one") {
  const bh_walls shadow = Walls(BH_WALL_OFF, BH_WALL_SHADOW);
  const bh_walls behind = Walls(BH_WALL_ENFORCE, BH_WALL_SHADOW);
  CHECK(bh_decide_frames(&shadow, BH_FRAMES_SEND) == BH_FRAMES_SHADOW);
  CHECK(bh_decide_frames(&behind, BH_FRAMES_SEND) == BH_FRAMES_DENY);
  CHECK(bh_decide_frames(&behind, BH_FRAMES_RECEIVE) == BH_FRAMES_SHADOW);
}

TEST_CASE("decide_frames: each denial has its counter") {
  CHECK(bh_frames_reason(BH_FAMILY_TUN, BH_FRAMES_OPEN) == BH_FRAMES_DENIED_TUN);
  CHECK(bh_frames_reason(BH_FAMILY_KERNEL, BH_FRAMES_OPEN) == BH_FRAMES_DENIED_KERNEL);
  CHECK(bh_frames_reason(BH_FAMILY_IN_FRONT, BH_FRAMES_OPEN) == BH_FRAMES_DENIED_IN_FRONT);
  CHECK(bh_frames_reason(AF_PACKET, BH_FRAMES_OPEN) == BH_FRAMES_DENIED_OPEN);
  CHECK(bh_frames_reason(AF_PACKET, BH_FRAMES_SEND) == BH_FRAMES_DENIED_SEND);
  CHECK(bh_frames_reason(AF_PACKET, BH_FRAMES_RECEIVE) == BH_FRAMES_DENIED_RECEIVE);
}
