// Enrollment tokens: single use, expiry, revocation, and the way back for a revoked sensor.
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

absl::StatusOr<Sensor> Use(Store& store, const std::string& secret, const std::string& name,
                           absl::Time now = absl::Now(), const std::string& address = "192.0.2.1") {
  return Give(store, [&](Transaction& tx) { return orders::Enroll(tx, secret, name, address, now); });
}

absl::StatusOr<EnrollmentToken> Token(Store& store, const std::string& id) {
  return Give(store, [&](Transaction& tx) { return tx.GetToken(id); });
}

TEST_CASE("a token enrolls one sensor, and its secret is stored nowhere") {
  const Database database;
  const auto store = database.Open();
  const orders::TokenCreated made = MakeToken(*store);
  CHECK(made.token.state == TokenState::kActive);
  const auto sensor = Use(*store, made.secret, "web-1");
  REQUIRE_OK(sensor);
  CHECK(sensor->trust == Trust::kTrusted);
  CHECK(sensor->desired_digest.size() == 32);
  CHECK(ReasonOf(Use(*store, made.secret, "web-2").status()) == "TOKEN_USED");
  CHECK(Token(*store, made.token.id)->state == TokenState::kUsed);
  CHECK(Token(*store, made.token.id)->used_by_sensor_id == sensor->id);
  CHECK(database.Value("SELECT count(*) FROM enrollment_tokens t WHERE t::text LIKE '%" + made.secret + "%'") == "0");
  CHECK(database.Value("SELECT count(*) FROM audit_log a WHERE a::text LIKE '%" + made.secret + "%'") == "0");
  CHECK(database.Value("SELECT actor FROM audit_log WHERE action = 'sensor_enrolled'") == "sensor:web-1");
}

TEST_CASE("eight hosts with one token at the same moment: one is enrolled") {
  const Database database;
  const auto store = database.Open();
  const std::string secret = MakeToken(*store).secret;
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = Use(*store, secret, absl::StrCat("web-", i)).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  int enrolled = 0;
  for (const absl::Status& result : results) {
    if (result.ok()) ++enrolled;
    if (!result.ok()) CHECK(ReasonOf(result) == "TOKEN_USED");
  }
  CHECK(enrolled == 1);
  CHECK(database.Value("SELECT count(*) FROM sensors") == "1");
}

std::vector<EnrollmentTokenUse> Uses(Store& store, const std::string& id, int page_size) {
  std::vector<EnrollmentTokenUse> uses;
  std::string next;
  do {
    const auto page = Give(store, [&](Transaction& tx) { return tx.ListTokenUses(id, page_size, next); });
    REQUIRE_OK(page);
    uses.insert(uses.end(), page->items.begin(), page->items.end());
    next = page->next_page_token;
  } while (!next.empty());
  return uses;
}

TEST_CASE("a token for five, sixteen hosts at two replicas at the same moment: five are enrolled, each use is known") {
  const Database database;
  const std::unique_ptr<Store> replicas[] = {database.Open(), database.Open()};
  const orders::TokenCreated made = MakeTokenFor(*replicas[0], {.max_uses = 5});
  CHECK(made.token.max_uses == 5);
  std::vector<absl::Status> results(16);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = Use(*replicas[i % 2], made.secret, absl::StrCat("web-", i)).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  int enrolled = 0;
  for (const absl::Status& result : results) {
    if (result.ok()) ++enrolled;
    if (!result.ok()) CHECK(ReasonOf(result) == "TOKEN_USED");
  }
  CHECK(enrolled == 5);
  CHECK(database.Value("SELECT count(*) FROM sensors") == "5");
  const auto token = Token(*replicas[1], made.token.id);
  CHECK(token->state == TokenState::kUsed);
  CHECK(token->uses == 5);
  const auto uses = Uses(*replicas[0], made.token.id, 2);
  REQUIRE(uses.size() == 5);
  for (size_t i = 0; i < uses.size(); ++i) {
    CHECK(uses[i].number == i + 1);
    CHECK(uses[i].address == "192.0.2.1");
    CHECK(Read(*replicas[0], uses[i].sensor_id).name == uses[i].sensor_name);
  }
  CHECK(token->used_by_sensor_id == uses.back().sensor_id);
}

TEST_CASE("a token with uses left can be revoked, and remembers who used it") {
  const Database database;
  const auto store = database.Open();
  const orders::TokenCreated made = MakeTokenFor(*store, {.max_uses = 2});
  REQUIRE_OK(Use(*store, made.secret, "web-1"));
  CHECK(Token(*store, made.token.id)->state == TokenState::kActive);
  REQUIRE_OK(Give(*store, [&](Transaction& tx) { return orders::RevokeToken(tx, By("admin"), made.token.id); }));
  CHECK(Token(*store, made.token.id)->state == TokenState::kRevoked);
  CHECK(ReasonOf(Use(*store, made.secret, "web-2").status()) == "TOKEN_REVOKED");
  REQUIRE_OK(Give(*store, [](Transaction& tx) -> absl::StatusOr<bool> {
    RETURN_IF_ERROR(orders::DeleteSensor(tx, By("admin"), "web-1"));
    return true;
  }));
  CHECK(Uses(*store, made.token.id, 10).at(0).sensor_name == "web-1");
}

TEST_CASE("a token for two networks: a host from elsewhere, or from nowhere known, is refused and takes no use") {
  const Database database;
  const auto store = database.Open();
  const auto networks = ParseNetworks("allowed_networks", {"10.1.0.0/16", "2001:db8::/32"});
  REQUIRE_OK(networks);
  const orders::TokenCreated made = MakeTokenFor(*store, {.max_uses = 3, .allowed_networks = *networks});
  CHECK(made.token.allowed_networks == *networks);
  const auto from = [&](const std::string& address, const std::string& name) {
    return Use(*store, made.secret, name, absl::Now(), address).status();
  };
  for (const char* const address : {"10.2.0.1", "2001:db9::1", "", "unknown", "10.1.0.0/8", "::ffff:10.2.0.1"}) {
    INFO(address);
    CHECK(ReasonOf(from(address, "web-1")) == "TOKEN_NETWORK");
  }
  CHECK(Token(*store, made.token.id)->uses == 0);
  CHECK_CODE(from("10.1.255.255", "web-1"), kOk);
  CHECK_CODE(from("2001:db8::7", "web-2"), kOk);
  CHECK_CODE(from("::ffff:10.1.0.9", "web-3"), kOk);
}

TEST_CASE("token orders that make no sense are refused with the field") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const auto refused = [&](const orders::TokenOrder& order) {
    return FieldOf(Give(*store, [&](Transaction& tx) {
                     return orders::CreateToken(tx, By("admin"), order, absl::Now());
                   }).status());
  };
  CHECK(refused({.max_uses = 10'001}) == "max_uses");
  CHECK(refused({.reenroll_sensor = "web-1", .max_uses = 2}) == "max_uses");
  CHECK(MakeTokenFor(*store, {.max_uses = 0}).token.max_uses == 1);
  CHECK(MakeTokenFor(*store, {.max_uses = 10'000}).token.max_uses == 10'000);
  CHECK(FieldOf(ParseNetworks("n", {"10.0.0.1/8"}).status()) == "n");
  CHECK(FieldOf(ParseNetworks("n", {"anywhere"}).status()) == "n");
  CHECK(FieldOf(ParseNetworks("n", std::vector<std::string>(65, "10.0.0.0/8")).status()) == "n");
}

TEST_CASE("two hosts that want one name at the same moment: one gets it, the other is told so and keeps its token") {
  const Database database;
  const auto store = database.Open();
  const orders::TokenCreated tokens[] = {MakeToken(*store), MakeToken(*store)};
  absl::Status results[2];
  std::thread other([&] { results[1] = Use(*store, tokens[1].secret, "web-1").status(); });
  results[0] = Use(*store, tokens[0].secret, "web-1").status();
  other.join();
  const int loser = results[0].ok() ? 1 : 0;
  CHECK_CODE(results[1 - loser], kOk);
  CHECK(ReasonOf(results[loser]) == "SENSOR_NAME_TAKEN");
  CHECK(Token(*store, tokens[loser].token.id)->state == TokenState::kActive);
}

TEST_CASE("unknown, expired and revoked tokens are told apart") {
  const Database database;
  const auto store = database.Open();
  CHECK(ReasonOf(Use(*store, "bhe_nonsense", "web-1").status()) == "TOKEN_UNKNOWN");
  CHECK(ReasonOf(Use(*store, "", "web-1").status()) == "TOKEN_UNKNOWN");
  const orders::TokenCreated expiring = MakeToken(*store);
  CHECK(ReasonOf(Use(*store, expiring.secret, "web-1", absl::Now() + absl::Hours(2)).status()) == "TOKEN_EXPIRED");
  database.Execute(
      "UPDATE enrollment_tokens SET created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'");
  CHECK(ReasonOf(Use(*store, expiring.secret, "web-1").status()) == "TOKEN_EXPIRED");
  CHECK(Token(*store, expiring.token.id)->state == TokenState::kExpired);
  const orders::TokenCreated revoked = MakeToken(*store);
  const auto revoke = [&](const std::string& id) {
    return Give(*store, [&](Transaction& tx) { return orders::RevokeToken(tx, By("admin"), id); });
  };
  REQUIRE_OK(revoke(revoked.token.id));
  CHECK(revoke(revoked.token.id)->state == TokenState::kRevoked);
  CHECK(ReasonOf(Use(*store, revoked.secret, "web-1").status()) == "TOKEN_REVOKED");
  const orders::TokenCreated used = MakeToken(*store);
  REQUIRE_OK(Use(*store, used.secret, "web-1"));
  CHECK_CODE(revoke(used.token.id), kFailedPrecondition);
  CHECK_CODE(revoke("123e4567-e89b-42d3-a456-426614174000"), kNotFound);
}

TEST_CASE("a taken name and a bad name are refused, and the token can still be used") {
  const Database database;
  const auto store = database.Open();
  Enroll(*store, "web-1");
  const std::string secret = MakeToken(*store).secret;
  CHECK(ReasonOf(Use(*store, secret, "web-1").status()) == "SENSOR_NAME_TAKEN");
  CHECK(FieldOf(Use(*store, secret, "Web 1").status()) == "name");
  REQUIRE_OK(Use(*store, secret, "web-2"));
}

TEST_CASE("re-enrollment restores trust and keeps id, name and policies; older certificates end") {
  const Database database;
  const auto store = database.Open();
  const Sensor sensor = Enroll(*store, "web-1");
  REQUIRE_OK(Contain(*store, "web-1"));
  SensorCertificate certificate;
  certificate.serial_hex = "0a0b";
  certificate.sensor_id = sensor.id;
  certificate.fingerprint_hex = std::string(64, 'a');
  certificate.not_before = absl::FromUnixSeconds(1790000000);
  certificate.not_after = certificate.not_before + absl::Hours(24);
  REQUIRE_OK(store->Run([&](Transaction& tx) { return tx.InsertCertificate(certificate); }));
  CHECK_FALSE(store->FindCertificate("0a0b")->revoked);
  CHECK(store->FindCertificate("0a0b")->not_after == certificate.not_after);
  CHECK(Read(*store, "web-1").certificate_not_after == certificate.not_after);
  REQUIRE_OK(Give(*store, [](Transaction& tx) { return orders::RevokeSensor(tx, By("admin"), "web-1"); }));
  CHECK(store->FindCertificate("0a0b")->revoked);
  CHECK_CODE(store->FindCertificate("0c0d"), kNotFound);
  const auto restored = Use(*store, MakeToken(*store, "web-1").secret, "ignored");
  REQUIRE_OK(restored);
  CHECK(restored->id == sensor.id);
  CHECK(restored->name == "web-1");
  CHECK(restored->trust == Trust::kTrusted);
  CHECK(restored->policies.size() == 1);
  CHECK(store->FindCertificate("0a0b")->revoked);
  CHECK_CODE(Contain(*store, "web-1"), kOk);
}

TEST_CASE("operators are found by certificate, may have several, and keep their role") {
  const Database database;
  const auto store = database.Open();
  const std::string first(64, 'a');
  const std::string second(64, 'b');
  REQUIRE_OK(store->InsertOperator({"olga", "operator", false}, first));
  REQUIRE_OK(store->InsertOperator({"olga", "operator", false}, second));
  CHECK(store->FindOperator(second)->name == "olga");
  CHECK(store->FindOperator(first)->role == "operator");
  CHECK_CODE(store->FindOperator(std::string(64, 'c')), kNotFound);
  CHECK_CODE(store->InsertOperator({"olga", "admin", false}, std::string(64, 'd')), kAlreadyExists);
  CHECK_CODE(store->InsertOperator({"petra", "viewer", false}, first), kAlreadyExists);
  CHECK_CODE(store->InsertOperator({"petra", "root", false}, std::string(64, 'e')), kInvalidArgument);
}

}  // namespace
}  // namespace bulkhead::controlplane
