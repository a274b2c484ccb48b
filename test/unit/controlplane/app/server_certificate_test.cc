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

  absl::Status Served(const ServerCertificate& certificate) const {
    const auto key = ReadFile(certificate.key_path());
    const auto chain = ReadFile(certificate.certificate_path());
    if (!key.ok()) return key.status();
    if (!chain.ok()) return chain.status();
    return CheckKeyAndCertificate(*key, *chain, clock.now);
  }
  std::string KeyOfAnother() const { return authority->IssueServer({"other"}, clock.now, absl::Hours(1))->key_pem; }

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

TEST_CASE_METHOD(Fixture, "what damages the files that are served is found, and another pair takes their place") {
  auto certificate = ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"});
  REQUIRE_OK(certificate);
  const std::string stranger = KeyOfAnother();
  const auto damage = [&](const std::string& path, const std::string& content) {
    INFO(path << " holds " << content.substr(0, 20));
    REQUIRE_OK(WriteFileAtomically(path, content, 0600));
    CHECK((*certificate)->RenewIfDue().value());
    REQUIRE_OK(Served(**certificate));
    CHECK_FALSE((*certificate)->RenewIfDue().value());
  };
  const std::string chain = *ReadFile((*certificate)->certificate_path());
  damage((*certificate)->certificate_path(), chain.substr(0, chain.size() / 2));
  damage((*certificate)->certificate_path(), "");
  damage((*certificate)->key_path(), "garbage");
  damage((*certificate)->key_path(), stranger);
  std::filesystem::remove_all(directory + "/tls/current");
  CHECK((*certificate)->RenewIfDue().value());
  REQUIRE_OK(Served(**certificate));
}

TEST_CASE_METHOD(Fixture, "a renewal that cannot be written leaves the pair before in place, and is tried again") {
  auto certificate = ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"});
  REQUIRE_OK(certificate);
  const std::string before = *ReadFile((*certificate)->key_path());
  clock.now += absl::Hours(24 * 16);
  // Everything but the swap of the link works, then nothing does.
  REQUIRE_OK(MakeDirectories(directory + "/tls/current.new/in-the-way", 0700));
  CHECK_FALSE((*certificate)->RenewIfDue().ok());
  CHECK(*ReadFile((*certificate)->key_path()) == before);
  REQUIRE_OK(Served(**certificate));
  std::filesystem::remove_all(directory + "/tls/current.new");
  CHECK((*certificate)->RenewIfDue().value());
  CHECK(*ReadFile((*certificate)->key_path()) != before);
  REQUIRE_OK(Served(**certificate));
}

TEST_CASE_METHOD(Fixture,
                 "a server whose authority cannot issue starts with the pair that is there, while it is good") {
  REQUIRE_OK(ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"}));
  REQUIRE_OK(MakeDirectories(directory + "/tls/current.new/in-the-way", 0700));
  auto again = ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"});
  REQUIRE_OK(again);
  REQUIRE_OK(Served(**again));
  // For monitoring: when the one that is served ends.
  CHECK((*again)->not_after() > clock.now);
  clock.now += absl::Hours(24 * 31);
  CHECK_FALSE(ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"}).ok());
}

TEST_CASE_METHOD(Fixture, "a new start leaves only its own pair") {
  for (int i = 0; i < 3; ++i) {
    REQUIRE_OK(ServerCertificate::Create(authority.get(), &clock, directory + "/tls", {"localhost"}));
    CHECK(Pairs() == 1);
  }
}

}  // namespace
}  // namespace bulkhead::controlplane
