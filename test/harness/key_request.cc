// A key and a request for a certificate, as a sensor makes them when it enrolls.
#include "harness/key_request.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <stdexcept>

namespace bulkhead::test {
namespace {

void Require(bool done) {
  if (!done) throw std::runtime_error("OpenSSL could not make a key and a certificate request");
}

}  // namespace

KeyAndRequest MakeKeyAndRequest() {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  Require(key != nullptr);
  const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(X509_REQ_new(), X509_REQ_free);
  Require(X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  Require(X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0);
  KeyAndRequest made;
  const int length = i2d_X509_REQ(request.get(), nullptr);
  Require(length > 0);
  made.request_der.resize(length);
  auto* out = reinterpret_cast<unsigned char*>(made.request_der.data());
  i2d_X509_REQ(request.get(), &out);
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), BIO_free);
  Require(PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  made.key_pem.assign(text, size);
  return made;
}

}  // namespace bulkhead::test
