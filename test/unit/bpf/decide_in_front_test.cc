// Which requests get in front of the wall on the interfaces, without a kernel. The numbers are compared with the
// headers'.
#include "bulkhead/decide_in_front.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <catch2/catch.hpp>
#include <set>

TEST_CASE("decide_in_front: requests that change filters, and those that change an interface") {
  const std::set<int> filters = {RTM_NEWQDISC,   RTM_DELQDISC, RTM_NEWTFILTER,
                                 RTM_DELTFILTER, RTM_NEWCHAIN, RTM_DELCHAIN};
  const std::set<int> links = {RTM_NEWLINK, RTM_SETLINK};
  for (int type = 0; type < 200; ++type) {
    INFO(type);
    const bh_request wanted = filters.count(type) != 0 ? BH_REQUEST_FILTERS
                              : links.count(type) != 0 ? BH_REQUEST_LINK
                                                       : BH_REQUEST_OTHER;
    CHECK(bh_request_kind(static_cast<uint16_t>(type)) == wanted);
  }
}

TEST_CASE("decide_in_front: attributes that bring XDP, and those that move an interface") {
  for (int type = 0; type < 100; ++type) {
    INFO(type);
    const bool moves = type == IFLA_NET_NS_PID || type == IFLA_NET_NS_FD || type == IFLA_TARGET_NETNSID;
    CHECK(bh_link_change(static_cast<uint16_t>(type)) == (moves              ? BH_LINK_MOVE
                                                          : type == IFLA_XDP ? BH_LINK_XDP
                                                                             : BH_LINK_HARMLESS));
  }
}

TEST_CASE("decide_in_front: a guarded interface stays, one of a container may be made and moved") {
  CHECK(bh_moves_guarded(2, 1, 0) == 1);
  CHECK(bh_moves_guarded(2, 1, NLM_F_EXCL) == 1);
  CHECK(bh_moves_guarded(7, 0, 0) == 0);
  CHECK(bh_moves_guarded(0, 0, NLM_F_CREATE | NLM_F_EXCL) == 0);
  CHECK(bh_moves_guarded(0, 0, NLM_F_CREATE) == 1);  // by name: an interface of that name would be changed
  CHECK(bh_moves_guarded(0, 0, 0) == 1);
}

TEST_CASE("decide_in_front: calls of bpf(2) that load, attach or run what sends past the wall") {
  bh_bpf_request request{};
  for (uint32_t type = 0; type < 40; ++type) {
    request.program_type = type;
    CHECK(bh_bpf_is_in_front(BPF_PROG_LOAD, &request) == (type == BPF_PROG_TYPE_XDP));
  }
  const std::set<uint32_t> kinds = {BPF_XDP, 46, 47};  // BPF_TCX_INGRESS and _EGRESS are newer than the headers
  for (uint32_t type = 0; type < 60; ++type) {
    request = {.program_type = BPF_PROG_TYPE_XDP, .attach_type = type, .run_flags = 0};
    CHECK(bh_bpf_is_in_front(BPF_PROG_ATTACH, &request) == kinds.count(type));
    CHECK(bh_bpf_is_in_front(BPF_LINK_CREATE, &request) == kinds.count(type));
    CHECK(bh_bpf_is_in_front(BPF_MAP_CREATE, &request) == 0);
  }
  request = {.program_type = 0, .attach_type = BPF_XDP, .run_flags = BPF_F_TEST_XDP_LIVE_FRAMES};
  CHECK(bh_bpf_is_in_front(BPF_PROG_TEST_RUN, &request) == 1);
  for (int command = 0; command < 60; ++command) {
    // What everything is asked for is forbidden of just the commands that are looked at.
    const bh_bpf_request all = {
        .program_type = BPF_PROG_TYPE_XDP, .attach_type = BPF_XDP, .run_flags = BPF_F_TEST_XDP_LIVE_FRAMES};
    CHECK(bh_bpf_is_in_front(command, &all) == bh_bpf_is_asked(command));
  }
  request.run_flags = BPF_F_TEST_RUN_ON_CPU;
  CHECK(bh_bpf_is_in_front(BPF_PROG_TEST_RUN, &request) == 0);
}
