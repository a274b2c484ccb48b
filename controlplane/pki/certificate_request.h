// Takes the key out of a PKCS#10 request.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/pki/x509_util.h"

namespace bulkhead::controlplane {

// The P-256 key of a request in DER, after its own signature proved that the sender holds the private key. Everything
// else in the request is ignored: name and uses are ours to give. InvalidField("certificate_request") says what is
// wrong. Thread safe.
absl::StatusOr<KeyPtr> KeyOfRequest(absl::string_view der);

}  // namespace bulkhead::controlplane
