// OpenSSL's objects with owners, and its small conversions.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bulkhead::controlplane {

template <auto Free>
struct OpensslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpensslDeleter<X509_REQ_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDeleter<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslDeleter<X509_STORE_CTX_free>>;

// Internal, with what OpenSSL has to say; empties its error queue.
absl::Status OpensslError(absl::string_view what);

// A fresh P-256 key.
absl::StatusOr<KeyPtr> NewP256Key();
// True for a key on the curve P-256.
bool IsP256(EVP_PKEY* key);

// PEM. Parsing takes exactly one certificate and ignores nothing behind it but white space; InvalidArgument says what
// is wrong.
std::string KeyToPem(EVP_PKEY* key);
std::string CertificateToPem(X509* certificate);
absl::StatusOr<KeyPtr> KeyFromPem(absl::string_view pem);
absl::StatusOr<CertificatePtr> CertificateFromPem(absl::string_view pem);

// Lower-case hexadecimal: the serial number with at least two digits, the SHA-256 of the DER.
std::string SerialHex(const X509* certificate);
std::string FingerprintHex(X509* certificate);

absl::Time NotBefore(const X509* certificate);
absl::Time NotAfter(const X509* certificate);

// Of the subject; empty when it has none.
std::string CommonName(const X509* certificate);

// The URIs among the subject alternative names.
std::vector<std::string> UriNames(X509* certificate);

}  // namespace bulkhead::controlplane
