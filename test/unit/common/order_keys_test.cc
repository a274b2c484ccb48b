// Signatures of operators, and the file that says whose count.
#include "common/order_keys.h"

#include <catch2/catch.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/order_signature.h"
#include "harness/status_matchers.h"

namespace bulkhead {
namespace {

OrderSigningKey NewKey() {
  return *OrderSigningKey::Generate();
}

std::string KeyLine(const std::string& name, const OrderSigningKey& key) {
  return absl::StrCat("key ", name, " ", OrderPublicKeyText(key.public_key()), "\n");
}

TEST_CASE("a signature holds for its key and its bytes only") {
  const OrderSigningKey key = NewKey();
  const OrderSignature signature = *key.Sign("order");
  CHECK(signature.key_id == OrderKeyId(key.public_key()));
  CHECK(VerifyOrderSignature(key.public_key(), "order", signature.signature));
  CHECK_FALSE(VerifyOrderSignature(key.public_key(), "orders", signature.signature));
  CHECK_FALSE(VerifyOrderSignature(key.public_key(), "", signature.signature));
  CHECK_FALSE(VerifyOrderSignature(NewKey().public_key(), "order", signature.signature));
  CHECK_FALSE(VerifyOrderSignature(key.public_key(), "order", signature.signature.substr(1)));
  CHECK_FALSE(VerifyOrderSignature(key.public_key(), "order", ""));
  CHECK_FALSE(VerifyOrderSignature("short", "order", signature.signature));
  for (size_t i = 0; i < signature.signature.size(); ++i) {
    std::string changed = signature.signature;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK_FALSE(VerifyOrderSignature(key.public_key(), "order", changed));
  }
}

TEST_CASE("a key comes back from PEM, with and without a passphrase") {
  const OrderSigningKey key = NewKey();
  const std::string plain = *key.ToPem("");
  CHECK(absl::StartsWith(plain, "-----BEGIN PRIVATE KEY-----"));
  CHECK(OrderSigningKey::FromPem(plain, "")->public_key() == key.public_key());
  const std::string sealed = *key.ToPem("correct horse");
  CHECK(absl::StartsWith(sealed, "-----BEGIN ENCRYPTED PRIVATE KEY-----"));
  CHECK(OrderSigningKey::FromPem(sealed, "correct horse")->public_key() == key.public_key());
  CHECK_CODE(OrderSigningKey::FromPem(sealed, "").status(), kFailedPrecondition);
  CHECK_CODE(OrderSigningKey::FromPem(sealed, "battery").status(), kInvalidArgument);
  CHECK_CODE(OrderSigningKey::FromPem("garbage", "").status(), kInvalidArgument);
  CHECK_CODE(OrderSigningKey::FromPem(plain.substr(0, 60), "").status(), kInvalidArgument);
}

TEST_CASE("a public key comes back from its text") {
  const OrderSigningKey key = NewKey();
  const std::string text = OrderPublicKeyText(key.public_key());
  CHECK(*ParseOrderPublicKey(text) == key.public_key());
  for (const std::string& wrong : {std::string(), text.substr(1), absl::StrCat(text, "AAAA"), text.substr(0, 20)}) {
    CHECK_CODE(ParseOrderPublicKey(wrong).status(), kInvalidArgument);
  }
}

TEST_CASE("the key file says how many signatures of whom an order needs") {
  const OrderSigningKey alice = NewKey(), alice2 = NewKey(), bob = NewKey(), mallory = NewKey();
  const absl::StatusOr<OrderKeys> keys = OrderKeys::Parse(
      absl::StrCat("# who may\n", KeyLine("alice", alice), KeyLine("alice", alice2), KeyLine("bob", bob),
                   "require kill,isolate 2  # two persons\nrequire contain 1\nisolation-rules none\n"));
  REQUIRE_OK(keys.status());
  CHECK(keys->Required(OrderKind::kKill) == 2);
  CHECK(keys->Required(OrderKind::kContain) == 1);
  CHECK(keys->Required(OrderKind::kRelease) == 0);
  CHECK_FALSE(keys->trust_isolation_rules());

  using Names = std::set<std::string>;
  CHECK(keys->Signers("x", {*alice.Sign("x"), *bob.Sign("x")}) == Names{"alice", "bob"});
  // The same key twice, and two keys of one person, count once.
  CHECK(keys->Signers("x", {*alice.Sign("x"), *alice.Sign("x"), *alice2.Sign("x")}) == Names{"alice"});
  CHECK(keys->Signers("x", {*alice.Sign("y"), *mallory.Sign("x")}).empty());
  // A signature under the name of another key.
  CHECK(keys->Signers("x", {{OrderKeyId(alice.public_key()), mallory.Sign("x")->signature}}).empty());
  CHECK_CODE(keys->Check("x", *mallory.Sign("x")), kInvalidArgument);
}

TEST_CASE("a key file that could not work is refused with its line") {
  const OrderSigningKey key = NewKey();
  const auto problem = [&](const std::string& text) {
    const absl::Status status = OrderKeys::Parse(absl::StrCat(KeyLine("alice", key), text)).status();
    CHECK_CODE(status, kInvalidArgument);
    return std::string(status.message());
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(problem(""), Contains("no order is required"));
  CHECK_THAT(problem("require kill 2\n"), Contains("1 operators have keys"));
  CHECK_THAT(problem("require isolate 1\n"), Contains("isolation-rules"));
  CHECK_THAT(problem("\nrequire fire 1\n"), Contains("line 3: \"fire\" is not one of contain"));
  for (const char* count : {"0", "9", "-1", "one", ""}) {
    CHECK_THAT(problem(absl::StrCat("require kill ", count)), Contains("line 2: write: require"));
  }
  CHECK_THAT(problem("require kill,kill 1\n"), Contains("required twice"));
  CHECK_THAT(problem("key bob ed25519:AAAA\n"), Contains("not a public key"));
  CHECK_THAT(problem(KeyLine("bob", key)), Contains("twice"));
  CHECK_THAT(problem("isolation-rules some\n"), Contains("trusted|none"));
  CHECK_THAT(problem("allow kill\n"), Contains("\"allow\""));
}

}  // namespace
}  // namespace bulkhead
