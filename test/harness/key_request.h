// A key and a request for a certificate, as a sensor makes them when it enrolls.
#pragma once

#include <string>

namespace bulkhead::test {

struct KeyAndRequest {
  std::string key_pem;      // P-256
  std::string request_der;  // PKCS#10 without a subject: everything in it but the key is ignored
};

// Throws when OpenSSL fails.
KeyAndRequest MakeKeyAndRequest();

}  // namespace bulkhead::test
