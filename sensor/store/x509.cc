// Keys, certificate requests and certificates of a sensor.
#include "sensor/store/x509.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "common/uuid.h"

namespace bulkhead::sensor {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Deleter<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;

void FreeNames(GENERAL_NAMES* names) {
  GENERAL_NAMES_free(names);
}
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Deleter<FreeNames>>;

void FreeCertStack(STACK_OF(X509) * stack) {
  sk_X509_free(stack);
}
using CertStackPtr = std::unique_ptr<STACK_OF(X509), Deleter<FreeCertStack>>;

constexpr char kSensorUri[] = "spiffe://bulkhead/sensor/";

absl::Status OpenSslError(absl::string_view what) {
  char text[256] = "no reason given";
  const unsigned long code = ERR_get_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

BioPtr Reader(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string Content(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::vector<CertPtr>> ReadCertificates(const std::string& pem, absl::string_view what) {
  BioPtr bio = Reader(pem);
  std::vector<CertPtr> out;
  while (CertPtr cert{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) out.push_back(std::move(cert));
  ERR_clear_error();
  if (out.empty()) return absl::InvalidArgumentError(absl::StrCat("the ", what, " holds no PEM certificate"));
  return out;
}

absl::StatusOr<std::string> SensorIdOf(X509* cert) {
  NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                           static_cast<size_t>(ASN1_STRING_length(uri)));
    if (absl::ConsumePrefix(&text, kSensorUri) && IsUuid(text)) return std::string(text);
  }
  return absl::InvalidArgumentError(absl::StrCat("the certificate has no URI name ", kSensorUri, "<uuid>"));
}

absl::StatusOr<absl::Time> TimeOf(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InvalidArgumentError("the certificate has a malformed date");
  return absl::FromTimeT(timegm(&fields));
}

std::string SerialHex(const X509* cert) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(cert);
  return ToHex(absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                                 static_cast<size_t>(ASN1_STRING_length(serial))));
}

absl::Status CheckChain(const std::vector<CertPtr>& chain, const std::vector<CertPtr>& roots) {
  StorePtr store(X509_STORE_new());
  CertStackPtr untrusted(sk_X509_new_null());
  StoreContextPtr context(X509_STORE_CTX_new());
  if (store == nullptr || untrusted == nullptr || context == nullptr) return OpenSslError("allocate a verifier");
  for (const CertPtr& root : roots) X509_STORE_add_cert(store.get(), root.get());
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(untrusted.get(), chain[i].get());
  if (X509_STORE_CTX_init(context.get(), store.get(), chain[0].get(), untrusted.get()) != 1) {
    return OpenSslError("prepare a verifier");
  }
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
  if (X509_verify_cert(context.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate does not lead to a root of the trust bundle: ",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> KeyToPem(EVP_PKEY* key) {
  BioPtr out(BIO_new(BIO_s_mem()));
  if (out == nullptr || PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("write the new key");
  }
  return Content(out.get());
}

}  // namespace

absl::StatusOr<KeyAndRequest> MakeKeyAndRequest() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("generate a P-256 key");
  RequestPtr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0) {
    return OpenSslError("make a certificate request");
  }
  BioPtr der(BIO_new(BIO_s_mem()));
  if (der == nullptr || i2d_X509_REQ_bio(der.get(), request.get()) != 1) return OpenSslError("encode the request");
  ASSIGN_OR_RETURN(std::string key_pem, KeyToPem(key.get()));
  return KeyAndRequest{std::move(key_pem), Content(der.get())};
}

absl::StatusOr<CertificateFacts> CheckIdentity(const std::string& key_pem, const std::string& chain_pem,
                                               const std::string& trust_bundle_pem) {
  BioPtr key_bio = Reader(key_pem);
  KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the key is not a private key in PEM");
  }
  ASSIGN_OR_RETURN(const std::vector<CertPtr> chain, ReadCertificates(chain_pem, "certificate chain"));
  ASSIGN_OR_RETURN(const std::vector<CertPtr> roots, ReadCertificates(trust_bundle_pem, "trust bundle"));
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate is for another key");
  }
  RETURN_IF_ERROR(CheckChain(chain, roots));
  CertificateFacts facts;
  ASSIGN_OR_RETURN(facts.sensor_id, SensorIdOf(chain[0].get()));
  ASSIGN_OR_RETURN(facts.not_before, TimeOf(X509_get0_notBefore(chain[0].get())));
  ASSIGN_OR_RETURN(facts.not_after, TimeOf(X509_get0_notAfter(chain[0].get())));
  facts.serial_hex = SerialHex(chain[0].get());
  return facts;
}

}  // namespace bulkhead::sensor
