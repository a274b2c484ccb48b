// Block-lists as text.
#include "controlplane/domain/block_list.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/hex.h"
#include "common/plain_name.h"
#include "common/status_macros.h"
#include "controlplane/domain/dangerous_binaries.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kLongestName = 64;
constexpr size_t kDigits = 64;

absl::Status CheckBinary(const std::string& field, const BlockedBinary& binary, bool force) {
  if (binary.path.empty() && binary.sha256.empty()) {
    return InvalidField(field, "has neither a path nor a sha256; one of them must name the file");
  }
  if (!binary.sha256.empty()) RETURN_IF_ERROR(ValidateSha256(absl::StrCat(field, ".sha256"), binary.sha256));
  if (binary.path.empty()) return absl::OkStatus();
  const std::string path = absl::StrCat(field, ".path");
  RETURN_IF_ERROR(ValidateBinaryPath(path, binary.path));
  if (absl::StrContains(binary.path, '\n')) {
    return InvalidField(path, "contains a line break; block this file by its sha256, or by an order of its own");
  }
  return CheckBlockable(path, binary.path, force);
}

std::string LineOf(const BlockedBinary& binary) {
  const char* const space = binary.path.empty() || binary.sha256.empty() ? "" : "  ";
  return absl::StrCat(ToHex(binary.sha256), space, binary.path, "\n");
}

}  // namespace

absl::StatusOr<BlockList> MakeBlockList(absl::string_view field, const std::string& name,
                                        std::vector<BlockedBinary> binaries, bool force) {
  if (!IsPlainName(name, kLongestName)) {
    return InvalidField(absl::StrCat(field, ".name"), absl::StrCat("must be 1..", kLongestName, " of [A-Za-z0-9._-]"));
  }
  const std::string entries = absl::StrCat(field, ".binaries");
  if (binaries.empty() || binaries.size() > kMaxBlockedBinaries) {
    return InvalidField(entries, absl::StrCat("has ", binaries.size(), " entries; 1..", kMaxBlockedBinaries));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < binaries.size(); ++i) {
    RETURN_IF_ERROR(CheckBinary(absl::StrCat(entries, "[", i, "]"), binaries[i], force));
    bytes += binaries[i].path.size();
  }
  if (bytes > kMaxBlockedPathBytes) {
    return InvalidField(entries,
                        absl::StrCat("has paths of ", bytes, " bytes together; at most ", kMaxBlockedPathBytes));
  }
  std::sort(binaries.begin(), binaries.end());
  binaries.erase(std::unique(binaries.begin(), binaries.end()), binaries.end());
  BlockList list;
  list.name = name;
  list.size = static_cast<uint32_t>(binaries.size());
  for (const BlockedBinary& binary : binaries) list.text += LineOf(binary);
  list.sha256 = Sha256(list.text);
  return list;
}

void ReadBlockList(absl::string_view text, const std::function<void(absl::string_view, std::string)>& take) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line[0] == '/') {
      take(line, "");
      continue;
    }
    const std::string digest = absl::HexStringToBytes(line.substr(0, kDigits));
    line.remove_prefix(std::min(line.size(), kDigits + 2));
    take(line, digest);
  }
}

size_t CountBlockedBinaries(const std::vector<Policy>& policies) {
  size_t count = 0;
  for (const Policy& policy : policies) count += policy.block_list.size;
  return count;
}

}  // namespace bulkhead::controlplane
