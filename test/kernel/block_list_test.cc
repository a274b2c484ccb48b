// Block-lists: many files under one policy, each blocked like one alone, up to as many as a host holds.
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "kernel/fixture.h"
#include "kernel/victims.h"
#include "sensor/domain/desired_state_check.h"

namespace bulkhead::sensor {
namespace {

namespace fs = std::filesystem;

bool Killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool Succeeded(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class BlockListFixture : public VictimFixture {
 public:
  std::string Digest(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return Sha256(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  int Run(const std::string& name) const { return cgroup().Execute(Path(name), {"true"}); }

  static Policy List(std::vector<BlockedBinary> blocked) {
    Policy policy = Block("");
    policy.block_list = "feed";
    policy.blocked = std::move(blocked);
    return policy;
  }
  // `count` paths that nothing has.
  std::vector<BlockedBinary> Nowhere(size_t count) const {
    std::vector<BlockedBinary> binaries;
    for (size_t i = 0; i < count; ++i) binaries.push_back({Path(absl::StrCat("nowhere-", i)), ""});
    return binaries;
  }
};

TEST_CASE_METHOD(BlockListFixture, "each file of a list is blocked under every name, as one policy",
                 "[exec][blocklist]") {
  Make("unrelated");
  Apply({List({{Path("victim"), ""}, {Path("later"), ""}, {Path("other"), Digest("other")}})});
  fs::create_hard_link(Path("victim"), Path("alias"));
  fs::copy_file(Path("other"), Path("copy"));
  CHECK(Killed(Run("victim")));
  CHECK(Killed(Run("alias")));
  CHECK(Killed(Run("copy")));
  CHECK(Succeeded(Run("unrelated")));
  Make("later");
  REQUIRE_OK(datapath().Maintain());
  fs::create_hard_link(Path("later"), Path("late_alias"));
  CHECK(Killed(Run("late_alias")));
  const ObservedState observed = Observe();
  REQUIRE(observed.policies.size() == 1);
  CHECK(observed.policies[0].hits == 4);

  // What the sensor found is in the kernel; the next sensor goes on with it.
  fs::rename(Path("victim"), Path("moved"));
  Crash();
  Open();
  CHECK(Killed(Run("moved")));
  Apply({List({{Path("victim"), ""}, {Path("later"), ""}, {Path("other"), Digest("other")}})});
  CHECK(Killed(Run("moved")));
  Apply({});
  CHECK(Succeeded(Run("moved")));
}

TEST_CASE_METHOD(BlockListFixture, "what is wrong with one path of a list leaves the others in force",
                 "[exec][blocklist]") {
  fs::create_directory(Path("directory"));
  Apply({List({{Path("directory"), ""}, {Path("victim"), ""}})});
  CHECK_THAT(Observe().policies[0].degraded, Catch::Contains("is a directory"));
  CHECK(Killed(Run("victim")));
  const DesiredState shell = State({List({{Path("victim"), ""}, {"/bin/sh", ""}})});
  // As a shell, or, where it is the first process, as init.
  CHECK_THAT(std::string(FirstRefusal(shell, {}).message()),
             Catch::Contains("a shell") || Catch::Contains("the host's init"));
  std::ifstream file("/bin/sh", std::ios::binary);
  const std::string content = Sha256(std::string(std::istreambuf_iterator<char>(file), {}));
  CHECK_THAT(std::string(FirstRefusal(State({List({{"", content}})}), {}).message()), Catch::Contains(ToHex(content)));
}

TEST_CASE_METHOD(BlockListFixture, "100 000 entries are in force, and a file behind the last of them too",
                 "[exec][blocklist]") {
  std::vector<BlockedBinary> binaries = Nowhere(kMaxBlocked - 2);
  binaries.push_back({"", Digest("other")});
  binaries.push_back({Path("victim"), ""});
  const Policy list = List(binaries);
  Apply({list});
  CHECK(Killed(Run("victim")));
  fs::rename(Path("victim"), Path("moved"));
  CHECK(Killed(Run("moved")));
  if (Has("exec_digest")) CHECK(Killed(Run("other")));
  // The next order publishes it again, beside something new.
  Apply({list, Containment()});
  CHECK(Killed(Run("moved")));
  // Each path is looked at in turn.
  Make("nowhere-99000");
  for (size_t i = 0; i <= kMaxBlocked / 4096; ++i) REQUIRE_OK(datapath().Maintain());
  fs::rename(Path("nowhere-99000"), Path("found"));
  CHECK(Killed(Run("found")));
  CHECK(Observe().drift_repairs == 0);
  Apply({});
  CHECK(Succeeded(Run("moved")));
}

TEST_CASE_METHOD(BlockListFixture, "a host that is asked to hold more than its maps do keeps what was in force",
                 "[exec][blocklist]") {
  Apply({Block(Path("victim"))});
  const uint64_t generation = Observe().receipt.generation;
  const absl::Status status = datapath().Apply(State({List(Nowhere(BH_MAX_EXEC_ENTRIES + 1))}));
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(status.message()), Catch::Contains("more than 262144 blocked files"));
  CHECK(Observe().receipt.generation == generation);
  CHECK(Killed(Run("victim")));
}

}  // namespace
}  // namespace bulkhead::sensor
