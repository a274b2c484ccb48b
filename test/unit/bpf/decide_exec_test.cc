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

TEST_CASE("NOTIFY is counted once, and an unknown action does nothing") {
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_SYSCALL, 0) == 0);
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_CHECK, 1) == 0);
  CHECK(bh_decide_exec(BH_ACTION_NOTIFY, BH_AT_EXEC, 1) == BH_DO_COUNT);
  for (const bh_exec_hook hook : {BH_AT_SYSCALL, BH_AT_CHECK, BH_AT_EXEC}) {
    CHECK(bh_decide_exec(BH_ACTION_NONE, hook, 0) == 0);
    CHECK(bh_decide_exec(77, hook, 0) == 0);
  }
}

TEST_CASE("bytes behind the end of a path do not count") {
  CHECK(bh_path_word(0x8877665544332211ULL, 8) == 0x8877665544332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 100) == 0x8877665544332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 3) == 0x332211ULL);
  CHECK(bh_path_word(0x8877665544332211ULL, 1) == 0x11ULL);
}

}  // namespace
