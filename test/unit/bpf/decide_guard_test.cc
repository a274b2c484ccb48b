// The tamper guard's decisions, without a kernel.
#include "bulkhead/decide_guard.h"

#include <linux/bpf.h>

#include <catch2/catch.hpp>

namespace {

bh_guard Guard(uint32_t enabled, uint64_t lowered_until) {
  bh_guard guard{};
  guard.enabled = enabled;
  guard.lowered_until = lowered_until;
  return guard;
}

// Names are compared in buffers of this size.
struct Name {
  explicit Name(const char* text) {
    for (int i = 0; text[i] != '\0' && i < BH_GUARD_NAME - 1; ++i) bytes[i] = text[i];
  }
  char bytes[BH_GUARD_NAME] = {};
};

}  // namespace

TEST_CASE("decide_guard: off until enabled, off while lowered, strict behind a wall") {
  const bh_guard off = Guard(0, 0), on = Guard(1, 0), lowered = Guard(1, 1000);
  CHECK(bh_decide_level(&off, 5, BH_ISOLATE) == BH_GUARD_OFF);
  CHECK(bh_decide_level(&on, 5, BH_NO_WALL) == BH_GUARD_SELF);
  CHECK(bh_decide_level(&on, 5, BH_CONTAIN) == BH_GUARD_STRICT);
  CHECK(bh_decide_level(&on, 5, BH_ISOLATE) == BH_GUARD_STRICT);
  CHECK(bh_decide_level(&lowered, 999, BH_ISOLATE) == BH_GUARD_OFF);
  CHECK(bh_decide_level(&lowered, 1000, BH_ISOLATE) == BH_GUARD_STRICT);
}

TEST_CASE("decide_guard: names match as a whole") {
  CHECK(bh_name_is(Name("cgroup.kill").bytes, "cgroup.kill"));
  CHECK_FALSE(bh_name_is(Name("cgroup.kil").bytes, "cgroup.kill"));
  CHECK_FALSE(bh_name_is(Name("cgroup.kill2").bytes, "cgroup.kill"));
  CHECK_FALSE(bh_name_is(Name("").bytes, "cgroup.kill"));
}

TEST_CASE("decide_guard: process 1 may put a process into the sensor's cgroup, and that is all") {
  CHECK(bh_guard_cgroup_allows(BH_OWNER_SENSOR, Name("cgroup.procs").bytes, 1));
  CHECK_FALSE(bh_guard_cgroup_allows(BH_OWNER_SENSOR, Name("cgroup.procs").bytes, 0));
  for (const char* file :
       {"cgroup.kill", "cgroup.freeze", "memory.max", "pids.max", "cgroup.subtree_control", "new.in.linux.9"}) {
    INFO(file);
    CHECK_FALSE(bh_guard_cgroup_allows(BH_OWNER_SENSOR, Name(file).bytes, 1));
  }
}

TEST_CASE("decide_guard: the cgroups above keep working, but cannot take the sensor down") {
  for (const uint8_t by_init : {0, 1}) {
    CHECK_FALSE(bh_guard_cgroup_allows(BH_OWNER_ANCESTOR, Name("cgroup.kill").bytes, by_init));
    CHECK_FALSE(bh_guard_cgroup_allows(BH_OWNER_ANCESTOR, Name("memory.max").bytes, by_init));
    CHECK(bh_guard_cgroup_allows(BH_OWNER_ANCESTOR, Name("cgroup.procs").bytes, by_init));
    CHECK(bh_guard_cgroup_allows(BH_OWNER_ANCESTOR, Name("cgroup.subtree_control").bytes, by_init));
    CHECK(bh_guard_cgroup_allows(BH_OWNER_OTHER, Name("cgroup.kill").bytes, by_init));
  }
}

TEST_CASE("decide_guard: nobody but process 1 freezes, wherever") {
  for (const char* file : {"cgroup.freeze", "freezer.state"}) {
    CHECK_FALSE(bh_guard_cgroup_allows(BH_OWNER_OTHER, Name(file).bytes, 0));
    CHECK(bh_guard_cgroup_allows(BH_OWNER_OTHER, Name(file).bytes, 1));
  }
}

TEST_CASE("decide_guard: what carries the programs is never switched off") {
  for (const bh_guard_level level : {BH_GUARD_SELF, BH_GUARD_STRICT}) {
    CHECK_FALSE(bh_guard_proc_allows(level, Name("ftrace_enabled").bytes));
    CHECK_FALSE(bh_guard_debug_allows(level, Name("kprobes").bytes, Name("enabled").bytes));
    CHECK(bh_guard_proc_allows(level, Name("hostname").bytes));
  }
}

TEST_CASE("decide_guard: tracing and sysrq end with a wall") {
  CHECK(bh_guard_proc_allows(BH_GUARD_SELF, Name("sysrq-trigger").bytes));
  CHECK_FALSE(bh_guard_proc_allows(BH_GUARD_STRICT, Name("sysrq-trigger").bytes));
  CHECK(bh_guard_debug_allows(BH_GUARD_SELF, Name("events").bytes, Name("enable").bytes));
  CHECK_FALSE(bh_guard_debug_allows(BH_GUARD_STRICT, Name("events").bytes, Name("enable").bytes));
}

TEST_CASE("decide_guard: behind a wall only programs that can do nothing but deny are loaded") {
  for (uint32_t type = 0; type < 64; ++type) {
    INFO(type);
    CHECK(bh_guard_program_allowed(BH_GUARD_SELF, type));
    const bool harmless = type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_CGROUP_SKB ||
                          type == BPF_PROG_TYPE_CGROUP_SOCK || type == BPF_PROG_TYPE_CGROUP_DEVICE ||
                          type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR || type == BPF_PROG_TYPE_CGROUP_SYSCTL ||
                          type == BPF_PROG_TYPE_CGROUP_SOCKOPT;
    CHECK(bh_guard_program_allowed(BH_GUARD_STRICT, type) == harmless);
  }
}
