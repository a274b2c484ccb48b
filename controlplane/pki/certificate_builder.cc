// Makes and signs one certificate.
#include "controlplane/pki/certificate_builder.h"

#include <openssl/asn1.h>
#include <openssl/x509v3.h>

#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kSerialBytes = 16;

absl::Status SetSerial(X509* certificate) {
  const std::string bytes = RandomBytes(kSerialBytes);
  const NumberPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), kSerialBytes, nullptr));
  if (number == nullptr || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpensslError("set the serial number");
  }
  return absl::OkStatus();
}

absl::Status SetSubject(X509* certificate, const std::string& common_name) {
  X509_NAME* const name = X509_get_subject_name(certificate);
  const auto add = [&](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  // A common name has at most 64 characters; what counts is the alternative name.
  if (add("O", "Bulkhead") && add("CN", common_name.substr(0, 64))) return absl::OkStatus();
  return OpensslError("set the subject");
}

absl::Status AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1)
    return OpensslError("add an extension");
  return absl::OkStatus();
}

// Names are put into the structure itself, not into OpenSSL's configuration syntax, where a comma would start another
// name.
bool PushName(GENERAL_NAMES* names, int type, void* value) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  if (name == nullptr || value == nullptr) {
    GENERAL_NAME_free(name);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

ASN1_IA5STRING* Ia5(const std::string& text) {
  ASN1_IA5STRING* const string = ASN1_IA5STRING_new();
  if (string != nullptr) ASN1_STRING_set(string, text.data(), static_cast<int>(text.size()));
  return string;
}

absl::Status AddNames(X509* certificate, const CertificateSpec& spec) {
  if (spec.uris.empty() && spec.dns_names.empty() && spec.addresses.empty()) return absl::OkStatus();
  const NamesPtr names(GENERAL_NAMES_new());
  bool ok = names != nullptr;
  for (const std::string& uri : spec.uris) ok = ok && PushName(names.get(), GEN_URI, Ia5(uri));
  for (const std::string& name : spec.dns_names) ok = ok && PushName(names.get(), GEN_DNS, Ia5(name));
  for (const std::string& address : spec.addresses)
    ok = ok && PushName(names.get(), GEN_IPADD, a2i_IPADDRESS(address.c_str()));
  if (ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1)
    return absl::OkStatus();
  return OpensslError("add the alternative names");
}

absl::Status AddUse(X509* certificate, X509* issuer, CertificateSpec::Use use) {
  if (use == CertificateSpec::Use::kAuthority) {
    RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    return AddExtension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  }
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_key_usage, "critical,digitalSignature"));
  return AddExtension(certificate, issuer, NID_ext_key_usage,
                      use == CertificateSpec::Use::kClient ? "critical,clientAuth" : "critical,serverAuth");
}

}  // namespace

absl::StatusOr<CertificatePtr> SignCertificate(const CertificateSpec& spec, EVP_PKEY* subject_key, X509* issuer,
                                               EVP_PKEY* issuer_key) {
  CertificatePtr made(X509_new());
  X509* const certificate = made.get();
  if (certificate == nullptr || X509_set_version(certificate, X509_VERSION_3) != 1)
    return OpensslError("make a certificate");
  RETURN_IF_ERROR(SetSerial(certificate));
  RETURN_IF_ERROR(SetSubject(certificate, spec.common_name));
  X509* const signer = issuer == nullptr ? certificate : issuer;
  if (X509_set_issuer_name(certificate, X509_get_subject_name(signer)) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(spec.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(spec.not_after)) == nullptr ||
      X509_set_pubkey(certificate, subject_key) != 1) {
    return OpensslError("fill in a certificate");
  }
  RETURN_IF_ERROR(AddUse(certificate, signer, spec.use));
  RETURN_IF_ERROR(AddExtension(certificate, signer, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(certificate, signer, NID_authority_key_identifier, "keyid:always"));
  RETURN_IF_ERROR(AddNames(certificate, spec));
  if (X509_sign(certificate, issuer_key, EVP_sha256()) == 0) return OpensslError("sign a certificate");
  return made;
}

}  // namespace bulkhead::controlplane
