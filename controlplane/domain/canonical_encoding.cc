// One unambiguous byte string for a sequence of values: the input of every digest.
#include "controlplane/domain/canonical_encoding.h"

namespace bulkhead::controlplane {
namespace {

void AppendBigEndian(uint64_t number, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

}  // namespace

CanonicalEncoding& CanonicalEncoding::Add(absl::string_view bytes) {
  AppendBigEndian(bytes.size(), &bytes_);
  bytes_.append(bytes.data(), bytes.size());
  return *this;
}

CanonicalEncoding& CanonicalEncoding::Add(uint64_t number) {
  AppendBigEndian(8, &bytes_);
  AppendBigEndian(number, &bytes_);
  return *this;
}

}  // namespace bulkhead::controlplane
