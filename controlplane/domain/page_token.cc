// Opaque page tokens: where a list goes on, bound to the list and the filter that they were made for.
#include "controlplane/domain/page_token.h"

#include "absl/strings/escaping.h"
#include "common/hex.h"
#include "controlplane/domain/canonical_encoding.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kCheckBytes = 8;
constexpr size_t kMaxTokenBytes = 2048;

// Eight bytes that change with the list, the filter and every key.
std::string Check(absl::string_view list, absl::string_view body) {
  CanonicalEncoding out;
  out.Add("bulkhead.page.v1").Add(list).Add(body);
  return Sha256(out.bytes()).substr(0, kCheckBytes);
}

absl::Status NotAToken() {
  return InvalidField("page_token", "is not a next_page_token of this list with these filters; start again without it");
}

// Takes one value written by CanonicalEncoding::Add from the front of `body`.
bool TakeValue(absl::string_view* body, std::string* value) {
  if (body->size() < 8) return false;
  uint64_t size = 0;
  for (int i = 0; i < 8; ++i) size = size << 8 | static_cast<unsigned char>((*body)[i]);
  body->remove_prefix(8);
  if (body->size() < size) return false;
  *value = std::string(body->substr(0, size));
  body->remove_prefix(size);
  return true;
}

}  // namespace

std::string EncodePageToken(absl::string_view list, const std::vector<std::string>& keys) {
  CanonicalEncoding body;
  for (const std::string& key : keys) body.Add(key);
  return ToBase64Url(Check(list, body.bytes()) + body.bytes());
}

absl::StatusOr<std::vector<std::string>> DecodePageToken(absl::string_view list, size_t key_count,
                                                         absl::string_view token) {
  std::vector<std::string> keys;
  if (token.empty()) return keys;
  std::string raw;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(token, &raw) || raw.size() < kCheckBytes)
    return NotAToken();
  absl::string_view body = absl::string_view(raw).substr(kCheckBytes);
  if (Check(list, body) != raw.substr(0, kCheckBytes)) return NotAToken();
  std::string value;
  while (!body.empty()) {
    if (!TakeValue(&body, &value)) return NotAToken();
    keys.push_back(value);
  }
  if (keys.size() != key_count) return NotAToken();
  return keys;
}

}  // namespace bulkhead::controlplane
