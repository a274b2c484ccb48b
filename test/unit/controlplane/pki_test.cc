// The certificate authority: what it issues, what it takes, whom it recognizes.
#include "controlplane/pki/pki.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "common/file_util.h"
#include "controlplane/domain/errors.h"
#include "controlplane/pki/certificate_builder.h"
#include "controlplane/pki/x509_util.h"
#include "harness/status_matchers.h"

namespace bulkhead::controlplane {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1790000000);
constexpr char kSensorId[] = "123e4567-e89b-42d3-a456-426614174000";

struct Directory {
  std::string path = "/tmp/bulkhead-pki-test-XXXXXX";
  Directory() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Directory() { std::filesystem::remove_all(path); }
};

std::unique_ptr<CertificateAuthority> MakeAuthority(const std::string& path) {
  REQUIRE_OK(CertificateAuthority::Create(path, kNow));
  auto authority = CertificateAuthority::Open(path);
  REQUIRE_OK(authority);
  return *std::move(authority);
}

// A request in DER, signed with `signer`.
std::string Request(EVP_PKEY* key, EVP_PKEY* signer) {
  const RequestPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key);
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("admin"), -1, -1, 0);
  REQUIRE(X509_REQ_sign(request.get(), signer, EVP_sha256()) > 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  const std::string out(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::string P256Request() {
  const KeyPtr key = *NewP256Key();
  return Request(key.get(), key.get());
}

TEST_CASE("the authority's key is private, and a second Create keeps the first") {
  const Directory directory;
  MakeAuthority(directory.path);
  struct stat info;
  REQUIRE(stat((directory.path + "/ca-key.pem").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const std::string before = *ReadFile(directory.path + "/ca.pem");
  CHECK_CODE(CertificateAuthority::Create(directory.path, kNow), kAlreadyExists);
  CHECK(*ReadFile(directory.path + "/ca.pem") == before);
  CHECK_CODE(CertificateAuthority::Open(directory.path + "/missing"), kNotFound);
}

TEST_CASE(
    "a rotation: both roots are accepted, clients get the new one, servers keep the old one until it is retired") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const PublicRoot old_root = authority->current_root();
  const auto before = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  REQUIRE_OK(before);
  const auto successor = authority->MakeSuccessor(kNow);
  REQUIRE_OK(successor);
  CHECK(authority->standing()->issuer_hex == old_root.fingerprint_hex);

  REQUIRE_OK(authority->Follow({old_root, *successor}, /*newest_may_issue=*/false));
  CHECK(authority->standing()->issuer_hex == old_root.fingerprint_hex);
  REQUIRE_OK(authority->Follow({old_root, *successor}, /*newest_may_issue=*/true));
  CHECK(authority->standing()->issuer_hex == successor->fingerprint_hex);
  CHECK(authority->standing()->server_issuer_hex == old_root.fingerprint_hex);
  const auto after = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  REQUIRE_OK(after);
  CHECK(after->issuer_hex == successor->fingerprint_hex);
  CHECK(after->trust_bundle_pem == old_root.certificate_pem + successor->certificate_pem);
  CHECK(after->trust_bundle_digest != before->trust_bundle_digest);
  CHECK(authority->VerifyPeer(before->chain_pem, kNow)->issuer_hex == old_root.fingerprint_hex);
  CHECK(authority->VerifyPeer(after->chain_pem, kNow)->issuer_hex == successor->fingerprint_hex);

  PublicRoot retired = old_root;
  retired.retired = true;
  REQUIRE_OK(authority->Follow({retired, *successor}, true));
  CHECK(authority->standing()->server_issuer_hex == successor->fingerprint_hex);
  CHECK(ReasonOf(authority->VerifyPeer(before->chain_pem, kNow).status()) == "CERTIFICATE_INVALID");
  CHECK_CODE(authority->VerifyPeer(after->chain_pem, kNow), kOk);
  CHECK(authority->trust_bundle_pem() == old_root.certificate_pem + successor->certificate_pem);
  retired.sent = false;
  REQUIRE_OK(authority->Follow({retired, *successor}, true));
  CHECK(authority->trust_bundle_pem() == successor->certificate_pem);
  CHECK(authority->standing()->trust_bundle_digest == TrustBundleDigest({successor->fingerprint_hex}));
  // The old key may be destroyed now.
  std::filesystem::remove(directory.path + "/ca-key.pem");
  REQUIRE_OK(authority->Follow({retired, *successor}, true));
}

TEST_CASE("a replica without the new key accepts the new root and issues from the old one, until that is retired") {
  const Directory first;
  const Directory second;
  const auto here = MakeAuthority(first.path);
  std::filesystem::copy(first.path, second.path, std::filesystem::copy_options::recursive);
  const auto there = *CertificateAuthority::Open(second.path);
  PublicRoot old_root = here->current_root();
  const PublicRoot successor = *here->MakeSuccessor(kNow);
  REQUIRE_OK(here->Follow({old_root, successor}, true));
  REQUIRE_OK(there->Follow({old_root, successor}, true));
  CHECK(there->standing()->issuer_hex == old_root.fingerprint_hex);
  CHECK(there->standing()->trust_bundle_digest == here->standing()->trust_bundle_digest);
  const auto issued = here->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  CHECK_CODE(there->VerifyPeer(issued->chain_pem, kNow), kOk);
  old_root.retired = true;
  CHECK_CODE(there->Follow({old_root, successor}, true), kFailedPrecondition);
  // Nothing changed by it.
  CHECK(there->standing()->issuer_hex == old_root.fingerprint_hex);
  // Half copied is not there; whole is.
  const std::string name = "/root-" + successor.fingerprint_hex.substr(0, 16);
  std::filesystem::create_directory(second.path + name);
  std::filesystem::copy(first.path + name + "/ca-key.pem", second.path + name + "/ca-key.pem");
  CHECK_CODE(there->Follow({old_root, successor}, true), kFailedPrecondition);
  std::filesystem::copy(first.path + name + "/ca.pem", second.path + name + "/ca.pem");
  REQUIRE_OK(there->Follow({old_root, successor}, true));
  CHECK(there->standing()->issuer_hex == successor.fingerprint_hex);
}

TEST_CASE("a root that the one before did not sign is not believed, whatever it claims") {
  const Directory directory;
  const Directory foreign_directory;
  const auto authority = MakeAuthority(directory.path);
  const auto foreign = MakeAuthority(foreign_directory.path);
  const PublicRoot old_root = authority->current_root();
  const PublicRoot vouched_elsewhere = *foreign->MakeSuccessor(kNow);
  const PublicRoot good = *authority->MakeSuccessor(kNow);
  PublicRoot no_proof = foreign->current_root();
  PublicRoot other_proof = vouched_elsewhere;
  other_proof.cross_pem = good.cross_pem;
  PublicRoot other_fingerprint = vouched_elsewhere;
  other_fingerprint.fingerprint_hex = good.fingerprint_hex;
  for (const PublicRoot& root : {vouched_elsewhere, no_proof, other_proof, other_fingerprint}) {
    CHECK_CODE(authority->Follow({old_root, root}, true), kFailedPrecondition);
    CHECK(authority->trust_bundle_pem() == old_root.certificate_pem);
  }
  // Nor behind one that is good, nor before the one that is on disk.
  CHECK_CODE(authority->Follow({old_root, good, vouched_elsewhere}, true), kFailedPrecondition);
  CHECK_CODE(authority->Follow({no_proof, old_root}, true), kFailedPrecondition);
}

TEST_CASE("a root that was retired vouches for nobody any more") {
  const Directory directory;
  const Directory thief_directory;
  const auto authority = MakeAuthority(directory.path);
  PublicRoot stolen = authority->current_root();
  std::filesystem::copy(directory.path, thief_directory.path,
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  const auto thief = CertificateAuthority::Open(thief_directory.path);
  REQUIRE_OK(thief);
  const PublicRoot forged = *(*thief)->MakeSuccessor(kNow);
  const PublicRoot successor = *authority->MakeSuccessor(kNow);
  stolen.retired = true;
  REQUIRE_OK(authority->Follow({stolen, successor}, true));
  CHECK_CODE(authority->Follow({stolen, successor, forged}, true), kFailedPrecondition);
  CHECK_CODE(authority->Follow({stolen, forged, successor}, true), kFailedPrecondition);
  CHECK(authority->standing()->issuer_hex == successor.fingerprint_hex);
}

TEST_CASE("a key that does not belong to the certificate is refused with advice") {
  const Directory directory;
  MakeAuthority(directory.path);
  REQUIRE_OK(WriteFileAtomically(directory.path + "/ca-key.pem", KeyToPem(NewP256Key()->get()), 0600));
  CHECK_CODE(CertificateAuthority::Open(directory.path), kFailedPrecondition);
}

TEST_CASE("a sensor's certificate names the sensor, whatever its request said") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto issued = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  REQUIRE_OK(issued);
  const auto peer = authority->VerifyPeer(issued->chain_pem, kNow);
  REQUIRE_OK(peer);
  CHECK(peer->kind == PeerIdentity::Kind::kSensor);
  CHECK(peer->id == kSensorId);
  CHECK(peer->serial_hex == issued->serial_hex);
  CHECK(peer->fingerprint_hex == issued->fingerprint_hex);
  CHECK(peer->fingerprint_hex.size() == 64);
  CHECK(issued->not_after == kNow + absl::Hours(24));
  CHECK(issued->not_before < kNow);
  const auto again = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  CHECK(again->serial_hex != issued->serial_hex);
}

TEST_CASE("a certificate is for its use and nothing else") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto issued = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  const CertificatePtr leaf = *CertificateFromPem(issued->chain_pem);
  CHECK(X509_check_ca(leaf.get()) == 0);
  CHECK(X509_get_extended_key_usage(leaf.get()) == XKU_SSL_CLIENT);
  CHECK(X509_get_key_usage(leaf.get()) == KU_DIGITAL_SIGNATURE);
  const auto server = authority->IssueServer({"cp.example", "192.0.2.1", "2001:db8::1"}, kNow, absl::Hours(24));
  REQUIRE_OK(server);
  const CertificatePtr serving = *CertificateFromPem(server->certificate.chain_pem);
  CHECK(X509_get_extended_key_usage(serving.get()) == XKU_SSL_SERVER);
  CHECK(X509_check_host(serving.get(), "cp.example", 0, 0, nullptr) == 1);
  CHECK(X509_check_ip_asc(serving.get(), "2001:db8::1", 0) == 1);
  CHECK(ReasonOf(authority->VerifyPeer(server->certificate.chain_pem, kNow).status()) == "CERTIFICATE_INVALID");
  CHECK(ReasonOf(authority->VerifyPeer(authority->trust_bundle_pem(), kNow).status()) == "CERTIFICATE_INVALID");
  CHECK_CODE(authority->IssueServer({}, kNow, absl::Hours(24)), kInvalidArgument);
  CHECK_CODE(authority->IssueServer({"cp.example,DNS:evil"}, kNow, absl::Hours(24)), kInvalidArgument);
}

TEST_CASE("an operator's certificate names the operator and its key belongs to it") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto olga = authority->IssueOperator("olga", kNow, absl::Hours(24));
  REQUIRE_OK(olga);
  const auto peer = authority->VerifyPeer(olga->certificate.chain_pem, kNow);
  REQUIRE_OK(peer);
  CHECK(peer->kind == PeerIdentity::Kind::kOperator);
  CHECK(peer->id == "olga");
  const CertificatePtr leaf = *CertificateFromPem(olga->certificate.chain_pem);
  const KeyPtr key = *KeyFromPem(olga->key_pem);
  CHECK(X509_check_private_key(leaf.get(), key.get()) == 1);
  CHECK_CODE(authority->IssueOperator("olga/../admin", kNow, absl::Hours(24)), kInvalidArgument);
}

TEST_CASE("an expired certificate is told from a wrong one") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto issued = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24));
  CHECK(ReasonOf(authority->VerifyPeer(issued->chain_pem, kNow + absl::Hours(25)).status()) == "CERTIFICATE_EXPIRED");
  CHECK(ReasonOf(authority->VerifyPeer(issued->chain_pem, kNow - absl::Hours(1)).status()) == "CERTIFICATE_INVALID");
  const Directory other;
  const auto stranger = MakeAuthority(other.path)->IssueOperator("olga", kNow, absl::Hours(24));
  CHECK(ReasonOf(authority->VerifyPeer(stranger->certificate.chain_pem, kNow).status()) == "CERTIFICATE_INVALID");
  CHECK(ReasonOf(authority->VerifyPeer("", kNow).status()) == "CERTIFICATE_INVALID");
  CHECK(ReasonOf(authority->VerifyPeer("junk", kNow).status()) == "CERTIFICATE_INVALID");
  CHECK(ReasonOf(authority->VerifyPeer(issued->chain_pem + issued->chain_pem, kNow).status()) == "CERTIFICATE_INVALID");
}

TEST_CASE("a certificate with two identities, or a foreign one, is nobody") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const CertificatePtr ca = *CertificateFromPem(authority->trust_bundle_pem());
  const KeyPtr ca_key = *KeyFromPem(*ReadFile(directory.path + "/ca-key.pem"));
  const KeyPtr key = *NewP256Key();
  CertificateSpec spec;
  spec.common_name = "x";
  spec.not_before = kNow - absl::Hours(1);
  spec.not_after = kNow + absl::Hours(1);
  const auto reason = [&](const std::vector<std::string>& uris) {
    spec.uris = uris;
    const CertificatePtr made = *SignCertificate(spec, key.get(), ca.get(), ca_key.get());
    return ReasonOf(authority->VerifyPeer(CertificateToPem(made.get()), kNow).status());
  };
  const std::string sensor = std::string("spiffe://bulkhead/sensor/") + kSensorId;
  CHECK(reason({sensor}).empty());
  CHECK(reason({sensor, "spiffe://bulkhead/operator/admin"}) == "CERTIFICATE_INVALID");
  CHECK(reason({}) == "CERTIFICATE_INVALID");
  CHECK(reason({"spiffe://elsewhere/operator/admin"}) == "CERTIFICATE_INVALID");
  CHECK(reason({"spiffe://bulkhead/sensor/not-a-uuid"}) == "CERTIFICATE_INVALID");
  CHECK(reason({std::string("spiffe://bulkhead/operator/admin\0x", 34)}) == "CERTIFICATE_INVALID");
}

TEST_CASE("requests are refused for what is wrong with them") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto problem = [&](const std::string& der) {
    const absl::Status status = authority->SignSensorRequest(der, kSensorId, kNow, absl::Hours(24)).status();
    CHECK(FieldOf(status) == "certificate_request");
    return std::string(status.message());
  };
  CHECK(absl::StrContains(problem(""), "empty"));
  CHECK(absl::StrContains(problem("junk"), "not one PKCS#10"));
  CHECK(absl::StrContains(problem(P256Request() + "x"), "not one PKCS#10"));
  CHECK(absl::StrContains(problem(std::string(20000, 'x')), "longer"));
  const KeyPtr key = *NewP256Key();
  const KeyPtr other = *NewP256Key();
  CHECK(absl::StrContains(problem(Request(key.get(), other.get())), "signature"));
  const KeyPtr p384(EVP_EC_gen("P-384"));
  CHECK(absl::StrContains(problem(Request(p384.get(), p384.get())), "P-256"));
  const KeyPtr rsa(EVP_RSA_gen(2048));
  CHECK(absl::StrContains(problem(Request(rsa.get(), rsa.get())), "P-256"));
}

TEST_CASE("nothing is issued beyond the authority's own end") {
  const Directory directory;
  const auto authority = MakeAuthority(directory.path);
  const auto issued = authority->SignSensorRequest(P256Request(), kSensorId, kNow, absl::Hours(24 * 365 * 20));
  REQUIRE_OK(issued);
  CHECK(issued->not_after <= kNow + absl::Hours(24 * 365 * 10));
  CHECK_CODE(authority->SignSensorRequest(P256Request(), kSensorId, kNow + absl::Hours(24 * 365 * 11), absl::Hours(1)),
             kFailedPrecondition);
}

}  // namespace
}  // namespace bulkhead::controlplane
