// A certificate authority for tests of the sensor.
#include "harness/fake_ca.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace bulkhead::test {
namespace {

struct Free {
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_REQ* p) const { X509_REQ_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
};
template <typename T>
using Ptr = std::unique_ptr<T, Free>;

void Require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(absl::StrCat("OpenSSL failed: ", what));
}

template <typename Write>
std::string ToPem(Write write) {
  Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  Require(bio != nullptr && write(bio.get()) == 1, "write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string KeyPem(EVP_PKEY* key) {
  return ToPem([key](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

std::string CertPem(X509* cert) {
  return ToPem([cert](BIO* bio) { return PEM_write_bio_X509(bio, cert); });
}

Ptr<EVP_PKEY> ReadKey(const std::string& pem) {
  Ptr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  Require(key != nullptr, "read key");
  return key;
}

Ptr<X509> ReadCert(const std::string& pem) {
  Ptr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Ptr<X509> cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  Require(cert != nullptr, "read certificate");
  return cert;
}

void AddExtension(X509* cert, int nid, const std::string& value) {
  Ptr<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
  Require(extension != nullptr && X509_add_ext(cert, extension.get(), -1) == 1, "add extension");
}

Ptr<X509> MakeCert(EVP_PKEY* key, const std::string& name, absl::Time not_before, absl::Time not_after) {
  Ptr<X509> cert(X509_new());
  int64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), 7);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(cert.get()), serial);
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), absl::ToTimeT(not_before));
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), absl::ToTimeT(not_after));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  Require(X509_set_pubkey(cert.get(), key) == 1, "set public key");
  return cert;
}

std::string Sign(X509* cert, X509* issuer, EVP_PKEY* issuer_key) {
  X509_set_issuer_name(cert, X509_get_subject_name(issuer));
  Require(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "sign");
  return CertPem(cert);
}

}  // namespace

FakeCa::FakeCa() {
  Ptr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  Ptr<X509> cert = MakeCert(key.get(), "test CA", absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(24 * 365));
  AddExtension(cert.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(cert.get(), NID_key_usage, "critical,keyCertSign");
  ca_ = {KeyPem(key.get()), Sign(cert.get(), cert.get(), key.get())};
}

FakeKeyPair FakeCa::IssueServer() const {
  Ptr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  Ptr<X509> cert = MakeCert(key.get(), "test server", absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(24));
  AddExtension(cert.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  return {KeyPem(key.get()), Sign(cert.get(), ReadCert(ca_.chain_pem).get(), ReadKey(ca_.key_pem).get())};
}

std::string FakeCa::SignSensor(const std::string& csr_der, const std::string& sensor_id, absl::Time not_before,
                               absl::Time not_after) const {
  const auto* data = reinterpret_cast<const unsigned char*>(csr_der.data());
  Ptr<X509_REQ> request(d2i_X509_REQ(nullptr, &data, static_cast<long>(csr_der.size())));
  Require(request != nullptr, "read request");
  Ptr<EVP_PKEY> key(X509_REQ_get_pubkey(request.get()));
  Require(key != nullptr && X509_REQ_verify(request.get(), key.get()) == 1, "verify request");
  Ptr<X509> cert = MakeCert(key.get(), "test sensor", not_before, not_after);
  AddExtension(cert.get(), NID_subject_alt_name, absl::StrCat("URI:spiffe://bulkhead/sensor/", sensor_id));
  return Sign(cert.get(), ReadCert(ca_.chain_pem).get(), ReadKey(ca_.key_pem).get());
}

}  // namespace bulkhead::test
