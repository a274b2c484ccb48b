// What each exec hook does, and the hash of a path.
#include "bulkhead/decide_exec.h"

#include <catch2/catch.hpp>

namespace {

TEST_CASE("each action stops an exec at exactly one place, and the last hook stops whatever got there") {
  CHECK(bh_decide_exec(BH_ACTION_SIGKILL, BH_AT_SYSCALL, 0) == BH_DO_KILL);
  CHECK(bh_decide_exec(BH_ACTION_SIGKILL, BH_AT_SYSCALL, 1) == BH_DO_KILL);
  CHECK(bh_decide_exec(BH_ACTION_SIGKILL, BH_AT_CHECK, 1) == (BH_DO_KILL | BH_DO_REFUSE));
  CHECK(bh_decide_exec(BH_ACTION_DENY, BH_AT_SYSCALL, 1) == 0);
  CHECK(bh_decide_exec(BH_ACTION_DENY, BH_AT_SYSCALL, 0) == BH_DO_KILL);
  CHECK(bh_decide_exec(BH_ACTION_DENY, BH_AT_CHECK, 1) == BH_DO_REFUSE);
  for (const uint32_t action : {BH_ACTION_SIGKILL, BH_ACTION_DENY}) {
    CHECK(bh_decide_exec(action, BH_AT_EXEC, 0) == BH_DO_KILL);
    CHECK(bh_decide_exec(action, BH_AT_EXEC, 1) == BH_DO_KILL);
  }
}

TEST_CASE("a mapping is refused like an exec") {
  CHECK(bh_decide_exec(BH_ACTION_DENY, BH_AT_MAP, 1) == BH_DO_REFUSE);
  CHECK(bh_decide_exec(BH_ACTION_SIGKILL, BH_AT_MAP, 1) == (BH_DO_KILL | BH_DO_REFUSE));
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_MAP, 1) == BH_DO_COUNT);
}

TEST_CASE(
    "NOTIFY counts an exec once, where scripts are seen if anything sees them, and an unknown action does nothing") {
  for (const uint8_t deny_exec : {0, 1}) {
    int counted = 0;
    for (const bh_exec_hook hook : {BH_AT_SYSCALL, BH_AT_CHECK, BH_AT_EXEC}) {
      const uint32_t todo = bh_decide_exec(BH_ACTION_NOTIFY, hook, deny_exec);
      CHECK((todo & ~uint32_t{BH_DO_COUNT}) == 0);
      counted += todo == BH_DO_COUNT;
    }
    CHECK(counted == 1);
  }
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_CHECK, 1) == BH_DO_COUNT);
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_EXEC, 0) == BH_DO_COUNT);
  for (const bh_exec_hook hook : {BH_AT_SYSCALL, BH_AT_CHECK, BH_AT_MAP, BH_AT_EXEC}) {
    CHECK(bh_decide_exec(BH_ACTION_NONE, hook, 0) == 0);
    CHECK(bh_decide_exec(77, hook, 0) == 0);
  }
}

TEST_CASE("a file is hashed when its size is that of a blocked content, unknown, or not to be trusted") {
  const uint8_t stops = BH_CONTENT_DIGESTS | BH_CONTENT_STOPS;
  CHECK(bh_must_hash(0, 0, 1) == 0);
  CHECK(bh_must_hash(BH_CONTENT_PRINTS | BH_CONTENT_STOPS, 0, 1) == 0);
  CHECK(bh_must_hash(stops, 1, 0) == 0);
  CHECK(bh_must_hash(stops, 1, 1) != 0);
  CHECK(bh_must_hash(stops, 0, 0) != 0);
  CHECK(bh_must_hash(stops | BH_CONTENT_ANY_SIZE, 1, 0) != 0);
}

TEST_CASE("a list lets nothing run that it does not name, and a content counts only when it is certain") {
  CHECK(static_cast<int>(BH_ALLOW_DENY) == 0);
  for (int bits = 0; bits < 64; ++bits) {
    const auto bit = [bits](int i) { return static_cast<uint8_t>(bits >> i & 1); };
    const bh_allow_facts facts{bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)};
    const bool named = facts.file || (facts.digest && (facts.content || facts.both));
    INFO("case " << bits);
    if (facts.over) {
      CHECK(bh_decide_allow(&facts) == BH_ALLOW_PASS);
    } else if (facts.learn) {
      CHECK(bh_decide_allow(&facts) == BH_ALLOW_LEARN);
    } else {
      CHECK(bh_decide_allow(&facts) == (named ? BH_ALLOW_PASS : BH_ALLOW_DENY));
    }
  }
  const bh_allow_facts nothing{};
  CHECK(bh_decide_allow(&nothing) == BH_ALLOW_DENY);
}

TEST_CASE("bytes behind the end of a path do not count") {
  CHECK(bh_path_word(0x8877665544332211ULL, 8) == 0x8877665544332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 100) == 0x8877665544332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 3) == 0x332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 1) == 0x11ULL);
}

TEST_CASE("a process came back when another was stopped less than 60 s before") {
  const bh_stop last{1000, 7, 0};
  const auto respawn = [&last](uint64_t time_ns, uint32_t tgid) {
    const bh_stop now{time_ns, tgid, 0};
    return bh_is_respawn(&last, &now) != 0;
  };
  CHECK(respawn(1000, 8));
  CHECK(respawn(1000 + BH_RESPAWN_NS - 1, 8));
  CHECK_FALSE(respawn(1000 + BH_RESPAWN_NS, 8));
  CHECK_FALSE(respawn(2000, 7));  // a second hook stops the same process
  CHECK_FALSE(respawn(999, 8));   // another CPU's clock was read earlier
}

}  // namespace
