// A certificate authority for tests of the sensor: as small as OpenSSL allows, independent of the control plane's.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace bulkhead::test {

struct FakeKeyPair {
  std::string key_pem;
  std::string chain_pem;
};

// Every function throws std::runtime_error when OpenSSL fails: a test cannot go on.
class FakeCa {
 public:
  FakeCa();

  const std::string& trust_bundle_pem() const { return ca_.chain_pem; }

  // For a server on localhost and 127.0.0.1.
  FakeKeyPair IssueServer() const;

  // Signs the key of a PKCS#10 request in DER for a sensor.
  std::string SignSensor(const std::string& csr_der, const std::string& sensor_id, absl::Time not_before,
                         absl::Time not_after) const;

 private:
  FakeKeyPair ca_;
};

}  // namespace bulkhead::test
