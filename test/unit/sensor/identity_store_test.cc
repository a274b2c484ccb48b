// The identity on disk is always a matching set.
#include "sensor/store/identity_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/time/clock.h"
#include "common/file_util.h"
#include "common/unique_fd.h"
#include "harness/fake_ca.h"
#include "harness/status_matchers.h"
#include "harness/temp_dir.h"

namespace bulkhead::sensor {
namespace {

constexpr char kSensor[] = "11111111-2222-4333-8444-555555555555";
constexpr char kOther[] = "99999999-2222-4333-8444-555555555555";

Credentials Issue(const test::FakeCa& ca, const std::string& sensor_id = kSensor) {
  const KeyAndRequest key = *MakeKeyAndRequest();
  return {key.key_pem,
          ca.SignSensor(key.csr_der, sensor_id, absl::FromUnixSeconds(1000000), absl::FromUnixSeconds(2000000)),
          ca.trust_bundle_pem()};
}

size_t Directories(const test::TempDir& dir) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (!entry.is_symlink() && entry.is_directory()) ++count;
  }
  return count;
}

TEST_CASE("an identity is stored, read with its facts, and private") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  CHECK_CODE(store.Load(), kNotFound);
  const Credentials credentials = Issue(ca);
  REQUIRE_OK(store.Replace(credentials));
  const auto identity = store.Load();
  REQUIRE_OK(identity);
  CHECK(identity->facts.sensor_id == kSensor);
  CHECK(identity->facts.not_before == absl::FromUnixSeconds(1000000));
  CHECK(identity->facts.not_after == absl::FromUnixSeconds(2000000));
  CHECK(identity->credentials.key_pem == credentials.key_pem);
  CHECK((std::filesystem::status(dir / "identity/key.pem").permissions() & std::filesystem::perms::others_all) ==
        std::filesystem::perms::none);
}

// A child that replaces identities for ever until the parent kills it, at any point of any of its writes: `after` it
// has done so many steps, because on a busy machine it may not run at all for longer than that.
template <typename Step>
void KillWhile(Step step, int steps, absl::Duration after) {
  int begun[2];
  REQUIRE(pipe2(begun, O_CLOEXEC) == 0);
  const UniqueFd told(begun[0]), tell(begun[1]);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (int done = 0; done < steps; ++done) step();
    (void)!write(tell.get(), "x", 1);
    for (;;) step();
  }
  char byte = 0;
  REQUIRE(read(told.get(), &byte, 1) == 1);
  absl::SleepFor(after);
  REQUIRE(kill(child, SIGKILL) == 0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
}

TEST_CASE("killed at any point of a renewal, the sensor has a whole identity, and can go on renewing") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  REQUIRE_OK(store.Replace(Issue(ca)));
  // Made before the fork: what is tried is the writing, not the signing.
  const Credentials renewed[] = {Issue(ca), Issue(ca)};
  int with_next = 0;
  for (int round = 0; round < 150; ++round) {
    INFO("round " << round);
    int turn = 0;
    KillWhile(
        [&] {
          store.StoreNext(renewed[++turn % 2]).IgnoreError();
          if (turn % 3 == 0) store.PromoteNext().IgnoreError();
          if (turn % 7 == 0) store.DropNext().IgnoreError();
        },
        /*steps=*/1 + round / 50, absl::Microseconds(200 * (round % 50)));  // after the third there is no next one
    REQUIRE_OK(store.Load());
    with_next += store.LoadNext().has_value() ? 1 : 0;
  }
  // Both kinds of leftover were met.
  CHECK(with_next > 0);
  CHECK(with_next < 150);
  REQUIRE_OK(store.StoreNext(renewed[0]));
  REQUIRE_OK(store.PromoteNext());
  CHECK(store.Load()->credentials.key_pem == renewed[0].key_pem);
  CHECK(Directories(dir) == 1);
}

TEST_CASE("killed between enrollment as another sensor and forgetting the renewed identity, the old one is not shown") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  REQUIRE_OK(store.Replace(Issue(ca)));
  REQUIRE_OK(store.StoreNext(Issue(ca)));
  // What Replace leaves when it is cut off after its first half.
  const std::string old_next = std::filesystem::read_symlink(dir / "identity.next").string();
  std::filesystem::copy(dir / old_next, dir / "kept", std::filesystem::copy_options::recursive);
  REQUIRE_OK(store.Replace(Issue(ca, kOther)));
  std::filesystem::rename(dir / "kept", dir / old_next);
  std::filesystem::create_symlink(old_next, dir / "identity.next");
  CHECK_FALSE(store.LoadNext().has_value());
  CHECK(store.Load()->facts.sensor_id == kOther);
}

TEST_CASE("a set that does not belong together changes nothing") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const test::FakeCa stranger;
  const IdentityStore store(dir.path());
  const Credentials good = Issue(ca);
  REQUIRE_OK(store.Replace(good));
  Credentials other_key = good;
  other_key.key_pem = Issue(ca).key_pem;
  Credentials other_root = good;
  other_root.trust_bundle_pem = stranger.trust_bundle_pem();
  Credentials no_sensor = good;
  no_sensor.chain_pem = ca.trust_bundle_pem();
  for (const Credentials& bad : {other_key, other_root, no_sensor, Credentials{"", "", ""},
                                 Credentials{good.key_pem, "garbage", good.trust_bundle_pem}}) {
    CHECK_CODE(store.Replace(bad), kInvalidArgument);
    CHECK_CODE(store.StoreNext(bad), kInvalidArgument);
  }
  CHECK(store.Load()->credentials.chain_pem == good.chain_pem);
  CHECK(Directories(dir) == 1);
}

TEST_CASE("a renewed identity waits beside the current one until it is promoted or dropped") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  REQUIRE_OK(store.Replace(Issue(ca)));
  const std::string old_chain = store.Load()->credentials.chain_pem;
  CHECK_FALSE(store.LoadNext().has_value());
  CHECK_CODE(store.StoreNext(Issue(ca, kOther)), kInvalidArgument);

  const Credentials renewed = Issue(ca);
  REQUIRE_OK(store.StoreNext(renewed));
  CHECK(store.Load()->credentials.chain_pem == old_chain);
  REQUIRE(store.LoadNext().has_value());
  REQUIRE_OK(store.PromoteNext());
  CHECK(store.Load()->credentials.chain_pem == renewed.chain_pem);
  CHECK_FALSE(store.LoadNext().has_value());
  CHECK(Directories(dir) == 1);

  REQUIRE_OK(store.StoreNext(Issue(ca)));
  REQUIRE_OK(store.DropNext());
  CHECK(store.Load()->credentials.chain_pem == renewed.chain_pem);
  CHECK(Directories(dir) == 1);
}

TEST_CASE("a broken renewed identity is removed and the current one stays") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  REQUIRE_OK(store.Replace(Issue(ca)));
  REQUIRE_OK(store.StoreNext(Issue(ca)));
  REQUIRE_OK(WriteFileAtomically(dir / "identity.next/key.pem", "garbage", 0600));
  CHECK_FALSE(store.LoadNext().has_value());
  REQUIRE_OK(store.Load());
  CHECK(Directories(dir) == 1);
}

TEST_CASE("what a crash left behind is removed by the next publication") {
  const test::TempDir dir;
  const test::FakeCa ca;
  const IdentityStore store(dir.path());
  // Killed after the directory was made, and after the temporary link was made.
  REQUIRE_OK(MakeDirectories(dir / "identity-half", 0700));
  std::filesystem::create_directory_symlink("identity-half", dir / "identity.tmp");
  CHECK_CODE(store.Load(), kNotFound);
  REQUIRE_OK(store.Replace(Issue(ca)));
  REQUIRE_OK(store.Load());
  CHECK(Directories(dir) == 1);
}

}  // namespace
}  // namespace bulkhead::sensor
