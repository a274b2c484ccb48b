// Leases: the kernel lets go by its own clock, with the sensor dead, and a restart changes nothing about when.
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "absl/time/clock.h"
#include "harness/temp_dir.h"
#include "kernel/fixture.h"

namespace bulkhead::sensor {
namespace {

using test::At;
using test::Connect;
using test::kMustComeMillis;
using test::kPeer4;
using test::Listen;

// Longer than anything between the order and the first look takes on a loaded machine.
constexpr absl::Duration kLease = absl::Seconds(3);

Policy Until(Policy policy, absl::Time end, OnExpiry on_expiry = OnExpiry::kRelease) {
  policy.expires_at = end;
  policy.on_expiry = on_expiry;
  return policy;
}

void SleepPast(absl::Time end) {
  absl::SleepFor(end - absl::Now() + absl::Milliseconds(100));
}

class LeaseFixture : public NetFixture {
 public:
  LeaseFixture() : listener_(peer().Socket(AF_INET, SOCK_STREAM)) { REQUIRE(Listen(listener_, At(kPeer4, 7900)) == 0); }

  int Dial() const { return Connect(host().Socket(AF_INET, SOCK_STREAM), At(kPeer4, 7900), kMustComeMillis); }

 private:
  UniqueFd listener_;
};

TEST_CASE_METHOD(LeaseFixture, "a wall ends with its lease although the sensor is dead", "[lease]") {
  for (const bool isolated : {false, true}) {
    INFO(isolated);
    const absl::Time end = absl::Now() + kLease;
    Apply({Until(isolated ? Isolation() : Containment(), end)});
    CHECK(Observe().contained == !isolated);
    CHECK(Observe().isolated == isolated);
    Crash();
    CHECK(Dial() == EPERM);
    SleepPast(end);
    CHECK(Dial() == 0);
    Open();
    const ObservedState observed = Observe();
    CHECK_FALSE(observed.contained);
    CHECK_FALSE(observed.isolated);
    REQUIRE(observed.policies.size() == 1);
    CHECK(observed.policies[0].expired);
    CHECK(absl::AbsDuration(*observed.policies[0].expires_at - end) < absl::Seconds(1));
    Apply({});
  }
}

TEST_CASE_METHOD(LeaseFixture, "what outlasts a lease goes on: the weaker wall behind the stronger one", "[lease]") {
  const absl::Time end = absl::Now() + kLease;
  Apply({Containment(), Until(Isolation(), end)}, {Rule("", 7900, 7900, 6, Direction::kOutbound)});
  CHECK(Dial() == 0);  // isolation wins, and its rule allows this
  SleepPast(end);
  CHECK(Dial() == EPERM);  // containment has no rules
}

TEST_CASE_METHOD(LeaseFixture, "a lease that holds does not end", "[lease]") {
  const absl::Time end = absl::Now() + absl::Seconds(1);
  Apply({Until(Containment(), end, OnExpiry::kHold)});
  SleepPast(end);
  CHECK(Dial() == EPERM);
  CHECK(Observe().contained);
  CHECK_FALSE(Observe().policies.at(0).expired);
}

TEST_CASE_METHOD(LeaseFixture, "a lease that is over when it comes cuts nothing", "[lease]") {
  Apply({Until(Containment(), absl::Now() - absl::Hours(1))});
  CHECK(Dial() == 0);
  CHECK_FALSE(Observe().contained);
}

TEST_CASE_METHOD(LeaseFixture, "the same state again keeps the end that the kernel has, whatever the wall clock says",
                 "[lease]") {
  DesiredState state = State({Until(Containment(), absl::Now() + kLease)});
  REQUIRE_OK(datapath().Apply(state));
  const absl::Time end = Observe().policies.at(0).expires_at.value();
  state.policies[0].expires_at = absl::Now() + absl::Hours(5);  // as after a clock that was set back
  REQUIRE_OK(datapath().Apply(state));
  CHECK(absl::AbsDuration(Observe().policies.at(0).expires_at.value() - end) < absl::Milliseconds(500));
  // Another generation is another order, and its own times count.
  ++state.generation;
  REQUIRE_OK(datapath().Apply(state));
  CHECK(Observe().policies.at(0).expires_at.value() > absl::Now() + absl::Hours(4));
}

TEST_CASE_METHOD(CgroupFixture, "a block ends with its lease", "[lease]") {
  namespace fs = std::filesystem;
  const test::TempDir directory;
  const std::string victim = directory.path() + "/victim";
  fs::copy_file(fs::exists("/bin/true") ? "/bin/true" : "/usr/bin/true", victim);
  fs::permissions(victim, fs::perms(0755));
  const absl::Time end = absl::Now() + kLease;
  Apply({Until(Block(victim), end)});
  const int killed = cgroup().Execute(victim, {"true"});
  CHECK((WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL));
  SleepPast(end);
  const int ran = cgroup().Execute(victim, {"true"});
  CHECK((WIFEXITED(ran) && WEXITSTATUS(ran) == 0));
  CHECK(Observe().policies.at(0).expired);
}

}  // namespace
}  // namespace bulkhead::sensor
