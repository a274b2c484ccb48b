// Ed25519 signatures of operators over orders, and the keys that make them.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct evp_pkey_st;

namespace bulkhead {

// One signature; see bulkhead.v1.OrderSignature.
struct OrderSignature {
  std::string key_id;
  std::string signature;  // 64 bytes

  friend bool operator==(const OrderSignature&, const OrderSignature&) = default;
};

inline constexpr size_t kOrderPublicKeyBytes = 32;
// What stands before the statement in what is signed: a signature of anything else is none of an order.
inline constexpr char kOrderSignaturePrefix[] = "bulkhead order statement v1\n";

// Names a public key (32 raw bytes): 32 hexadecimal digits.
std::string OrderKeyId(absl::string_view public_key);

// "ed25519:" and base64, as operators hand it on; and back. InvalidArgument says what is wrong.
std::string OrderPublicKeyText(absl::string_view public_key);
absl::StatusOr<std::string> ParseOrderPublicKey(absl::string_view text);

// True when `signature` is the key's over the statement.
bool VerifyOrderSignature(absl::string_view public_key, absl::string_view statement, absl::string_view signature);

// An operator's private key. Not thread safe.
class OrderSigningKey {
 public:
  static absl::StatusOr<OrderSigningKey> Generate();
  // PKCS#8 in PEM. FailedPrecondition: it has a passphrase and none was given. InvalidArgument: not an Ed25519 key, or
  // the wrong passphrase.
  static absl::StatusOr<OrderSigningKey> FromPem(absl::string_view pem, absl::string_view passphrase);

  // PKCS#8 in PEM; with a passphrase encrypted by AES-256 behind scrypt.
  absl::StatusOr<std::string> ToPem(absl::string_view passphrase) const;
  absl::StatusOr<OrderSignature> Sign(absl::string_view statement) const;
  const std::string& public_key() const { return public_key_; }

 private:
  using Key = std::shared_ptr<evp_pkey_st>;
  static absl::StatusOr<OrderSigningKey> FromKey(Key key);
  OrderSigningKey(Key key, std::string public_key) : key_(std::move(key)), public_key_(std::move(public_key)) {}

  Key key_;
  std::string public_key_;
};

}  // namespace bulkhead
