// One unambiguous byte string for a sequence of values: the input of every digest.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// Each value is preceded by its length (8 bytes, big endian), so that no two different sequences encode alike:
// ("ab","c") and
// ("a","bc") differ. Numbers are 8 bytes, big endian. Not thread safe.
class CanonicalEncoding {
 public:
  CanonicalEncoding& Add(absl::string_view bytes);
  CanonicalEncoding& Add(uint64_t number);

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace bulkhead::controlplane
