// Takes the key out of a PKCS#10 request.
#include "controlplane/pki/certificate_request.h"

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr char kField[] = "certificate_request";
// A P-256 request has some 250 bytes; the rest is room for names that we ignore.
constexpr size_t kMaxRequestBytes = 16384;

}  // namespace

absl::StatusOr<KeyPtr> KeyOfRequest(absl::string_view der) {
  if (der.empty()) return InvalidField(kField, "is empty; send a PKCS#10 request in DER with a P-256 key");
  if (der.size() > kMaxRequestBytes)
    return InvalidField(kField, absl::StrCat("is longer than ", kMaxRequestBytes, " bytes"));
  const unsigned char* position = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = position + der.size();
  const RequestPtr request(d2i_X509_REQ(nullptr, &position, static_cast<long>(der.size())));
  ERR_clear_error();
  if (request == nullptr || position != end) return InvalidField(kField, "is not one PKCS#10 request in DER");
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  ERR_clear_error();
  if (!IsP256(key.get())) return InvalidField(kField, "its key is not on the curve P-256");
  const bool proved = X509_REQ_verify(request.get(), key.get()) == 1;
  ERR_clear_error();
  if (!proved) return InvalidField(kField, "its signature is not made by its key");
  return key;
}

}  // namespace bulkhead::controlplane
