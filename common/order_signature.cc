// Ed25519 signatures of operators over orders, and the keys that make them.
#include "common/order_signature.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead {
namespace {

constexpr char kPublicKeyPrefix[] = "ed25519:";
constexpr size_t kSignatureBytes = 64;
constexpr size_t kKeyIdDigits = 32;
constexpr uint64_t kScryptN = 1 << 14, kScryptR = 8, kScryptP = 1;

using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using PlainKey = std::unique_ptr<PKCS8_PRIV_KEY_INFO, decltype(&PKCS8_PRIV_KEY_INFO_free)>;
using SealedKey = std::unique_ptr<X509_SIG, decltype(&X509_SIG_free)>;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Signed(absl::string_view statement) {
  return absl::StrCat(kOrderSignaturePrefix, statement);
}

absl::Status OpenSslError(absl::string_view what) {
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, " failed in OpenSSL"));
}

struct Passphrase {
  absl::string_view text;
  bool asked = false;
};

int GivePassphrase(char* buffer, int size, int, void* context) {
  auto* const passphrase = static_cast<Passphrase*>(context);
  passphrase->asked = true;
  if (passphrase->text.empty() || passphrase->text.size() > static_cast<size_t>(size)) return -1;
  std::copy(passphrase->text.begin(), passphrase->text.end(), buffer);
  return static_cast<int>(passphrase->text.size());
}

absl::Status WritePlain(BIO* out, EVP_PKEY* key) {
  return PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr) == 1
             ? absl::OkStatus()
             : OpenSslError("writing a key");
}

// PEM_write_bio_PKCS8PrivateKey would derive the key by PBKDF2 with 2048 rounds.
absl::Status WriteSealed(BIO* out, EVP_PKEY* key, absl::string_view passphrase) {
  const PlainKey plain(EVP_PKEY2PKCS8(key), PKCS8_PRIV_KEY_INFO_free);
  if (plain == nullptr) return OpenSslError("writing a key");
  X509_ALGOR* const algorithm =
      PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nullptr, 0, nullptr, kScryptN, kScryptR, kScryptP);
  if (algorithm == nullptr) return OpenSslError("encrypting a key");
  const SealedKey sealed(PKCS8_set0_pbe(passphrase.data(), static_cast<int>(passphrase.size()), plain.get(), algorithm),
                         X509_SIG_free);
  if (sealed == nullptr) {
    X509_ALGOR_free(algorithm);
    return OpenSslError("encrypting a key");
  }
  return PEM_write_bio_PKCS8(out, sealed.get()) == 1 ? absl::OkStatus() : OpenSslError("writing a key");
}

}  // namespace

std::string OrderKeyId(absl::string_view public_key) {
  return ToHex(Sha256(public_key)).substr(0, kKeyIdDigits);
}

std::string OrderPublicKeyText(absl::string_view public_key) {
  return absl::StrCat(kPublicKeyPrefix, absl::Base64Escape(public_key));
}

absl::StatusOr<std::string> ParseOrderPublicKey(absl::string_view text) {
  std::string key;
  if (!absl::ConsumePrefix(&text, kPublicKeyPrefix) || !absl::Base64Unescape(text, &key) ||
      key.size() != kOrderPublicKeyBytes) {
    return absl::InvalidArgumentError(
        "is not a public key; write it as bulkheadctl key public prints it, such as ed25519:MCow…=");
  }
  return key;
}

bool VerifyOrderSignature(absl::string_view public_key, absl::string_view statement, absl::string_view signature) {
  if (public_key.size() != kOrderPublicKeyBytes || signature.size() != kSignatureBytes) return false;
  const std::shared_ptr<EVP_PKEY> key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(public_key), public_key.size()), EVP_PKEY_free);
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const std::string text = Signed(statement);
  const bool valid = key != nullptr && context != nullptr &&
                     EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                     EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text), text.size()) == 1;
  ERR_clear_error();
  return valid;
}

absl::StatusOr<OrderSigningKey> OrderSigningKey::FromKey(Key key) {
  if (key == nullptr || EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519) {
    ERR_clear_error();
    return absl::InvalidArgumentError("is not an Ed25519 key; make one with bulkheadctl key generate");
  }
  std::string public_key(kOrderPublicKeyBytes, '\0');
  size_t size = public_key.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(public_key.data()), &size) != 1) {
    return OpenSslError("reading a public key");
  }
  return OrderSigningKey(std::move(key), std::move(public_key));
}

absl::StatusOr<OrderSigningKey> OrderSigningKey::Generate() {
  return FromKey(Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free));
}

absl::StatusOr<OrderSigningKey> OrderSigningKey::FromPem(absl::string_view pem, absl::string_view passphrase) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  if (in == nullptr) return OpenSslError("reading a key");
  Passphrase given{passphrase};
  Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, GivePassphrase, &given), EVP_PKEY_free);
  if (key == nullptr && given.asked) {
    ERR_clear_error();
    if (passphrase.empty()) return absl::FailedPreconditionError("has a passphrase, and none was given");
    return absl::InvalidArgumentError("cannot be read with this passphrase");
  }
  return FromKey(std::move(key));
}

absl::StatusOr<std::string> OrderSigningKey::ToPem(absl::string_view passphrase) const {
  const Bio out(BIO_new(BIO_s_mem()), BIO_free);
  if (out == nullptr) return OpenSslError("writing a key");
  RETURN_IF_ERROR(passphrase.empty() ? WritePlain(out.get(), key_.get())
                                     : WriteSealed(out.get(), key_.get(), passphrase));
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<OrderSignature> OrderSigningKey::Sign(absl::string_view statement) const {
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const std::string text = Signed(statement);
  OrderSignature out{OrderKeyId(public_key_), std::string(kSignatureBytes, '\0')};
  size_t size = out.signature.size();
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.signature.data()), &size, Bytes(text),
                     text.size()) != 1) {
    return OpenSslError("signing");
  }
  return out;
}

}  // namespace bulkhead
