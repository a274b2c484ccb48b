// The identity on disk is always a matching set.
#include "sensor/store/identity_store.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "common/file_util.h"
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
