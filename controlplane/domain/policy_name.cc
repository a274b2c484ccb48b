// Names of enforcement policies.
#include "controlplane/domain/policy_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kSuffixLength = 64;
constexpr size_t kHashDigits = 8;
constexpr size_t kDigestDigits = 16;

}  // namespace

std::string SanitizePathSuffix(absl::string_view path) {
  std::string out;
  for (const char c : path) {
    if (absl::ascii_isalnum(c) || c == '.' || c == '_') {
      out += absl::ascii_tolower(c);
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  if (out.size() > kSuffixLength) out.erase(0, out.size() - kSuffixLength);
  while (!out.empty() && out.back() == '-') out.pop_back();
  while (!out.empty() && out.front() == '-') out.erase(0, 1);
  return out.empty() ? "path" : out;
}

std::string BlockBinaryPolicyName(absl::string_view path, absl::string_view sha256,
                                  const std::vector<Policy>& existing) {
  const std::string name = absl::StrCat(
      kBlockBinaryPrefix, path.empty() ? ToHex(sha256).substr(0, kDigestDigits) : SanitizePathSuffix(path));
  const bool taken = std::any_of(existing.begin(), existing.end(), [&](const Policy& policy) {
    return policy.name == name && (policy.binary_path != path || (path.empty() && policy.binary_sha256 != sha256));
  });
  if (!taken) return name;
  if (path.empty()) return absl::StrCat(kBlockBinaryPrefix, ToHex(sha256));
  return absl::StrCat(name, "-", ToHex(Sha256(path)).substr(0, kHashDigits));
}

std::string ScopedPolicyName(absl::string_view prefix, const std::optional<Scope>& scope,
                             const std::vector<Policy>& existing) {
  if (!scope) return std::string(prefix);
  const std::string name = absl::StrCat(prefix, "-", SanitizePathSuffix(scope->name));
  const bool taken = std::any_of(existing.begin(), existing.end(),
                                 [&](const Policy& policy) { return policy.name == name && policy.scope != scope; });
  return taken ? absl::StrCat(name, "-", ToHex(Sha256(ScopeWord(*scope))).substr(0, kHashDigits)) : name;
}

std::string ScopeWord(const Scope& scope) {
  switch (scope.kind) {
    case ScopeKind::kCgroup:
      return absl::StrCat("cgroup:", scope.name);
    case ScopeKind::kSystemdUnit:
      return absl::StrCat("unit:", scope.name);
    case ScopeKind::kContainer:
      break;
  }
  return absl::StrCat("container:", scope.name);
}

}  // namespace bulkhead::controlplane
