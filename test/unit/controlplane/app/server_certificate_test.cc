// The listener's certificate: both files change together, in time, and old keys do not pile up.
#include "controlplane/app/server_certificate.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "common/file_util.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

class FakeClock : public Clock {
 public:
  absl::Time Now() const override { return now; }
  absl::Time now = absl::Now();
};

struct Fixture {
  Fixture() {
    REQUIRE(mkdtemp(directory.data()) != nullptr);
    REQUIRE_OK(MakeDirectories(directory + "/ca", 0700));
    REQUIRE_OK(CertificateAuthority::Create(directory + "/ca", clock.now));
    auto opened = CertificateAuthority::Open(directory + "/ca");
    REQUIRE_OK(opened);
    authority = *std::move(opened);
  }
  ~Fixture() { std::filesystem::remove_all(directory); }

  int Pairs() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory + "/tls"))
      count += entry.is_directory() && !entry.is_symlink();
    return count;
  }

  FakeClock clock;
  std::string directory = "/tmp/bulkhead-certificate-test-XXXXXX";
  std::unique_ptr<CertificateAuthority> authority;
};

TEST_CASE_METHOD(Fixture, "the server's certificate is renewed at half of its life, key and all") {
  auto certificate = ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost", "127.0.0.1"});
  REQUIRE_OK(certificate);
  const auto first_key = ReadFile((*certificate)->key_path());
  const auto first_chain = ReadFile((*certificate)->certificate_path());
  REQUIRE_OK(first_key);
  REQUIRE_OK(first_chain);
  struct stat info {};
  REQUIRE(stat((*certificate)->key_path().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);

  clock.now += absl::Hours(24 * 14);
  CHECK_FALSE((*certificate)->RenewIfDue().value());
  clock.now += absl::Hours(24 * 2);
  CHECK((*certificate)->RenewIfDue().value());
  CHECK(*ReadFile((*certificate)->key_path()) != *first_key);
  CHECK(*ReadFile((*certificate)->certificate_path()) != *first_chain);
  CHECK_FALSE((*certificate)->RenewIfDue().value());
  CHECK(Pairs() == 2);

  for (int i = 0; i < 3; ++i) {
    clock.now += absl::Hours(24 * 16);
    CHECK((*certificate)->RenewIfDue().value());
  }
  CHECK(Pairs() == 2);
}

TEST_CASE_METHOD(Fixture, "a new start leaves only its own pair") {
  for (int i = 0; i < 3; ++i) {
    REQUIRE_OK(ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"}));
    CHECK(Pairs() == 1);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane
