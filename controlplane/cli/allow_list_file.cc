// Allow-lists and block-lists as text.
#include "controlplane/cli/allow_list_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/hex.h"
#include "common/status_macros.h"
#include "controlplane/cli/outcome.h"

namespace bulkhead::controlplane::cli {
namespace {

constexpr size_t kDigits = 64;

}  // namespace

absl::StatusOr<std::string> DigestFromHex(absl::string_view what, const std::string& digits) {
  const bool hexadecimal = std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit);
  if (hexadecimal && digits.size() == kDigits) return absl::HexStringToBytes(digits);
  return UsageError(absl::StrCat(what, " takes 64 hexadecimal digits, as sha256sum prints them, not ",
                                 hexadecimal ? absl::StrCat(digits.size(), " of them") : "other characters"));
}

template <typename List>
absl::Status ParseList(absl::string_view name, absl::string_view text, List* list) {
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripTrailingAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    auto* const binary = list->add_binaries();
    if (line[0] == '/') {
      binary->set_path(std::string(line));
      continue;
    }
    const size_t space = std::min(line.find(' '), line.size());
    ASSIGN_OR_RETURN(*binary->mutable_sha256(),
                     DigestFromHex(absl::StrCat(name, " line ", number), std::string(line.substr(0, space))));
    line = absl::StripLeadingAsciiWhitespace(line.substr(space));
    absl::ConsumePrefix(&line, "*");  // sha256sum --binary
    binary->set_path(std::string(line));
  }
  return absl::OkStatus();
}

template absl::Status ParseList(absl::string_view, absl::string_view, v1::AllowList*);
template absl::Status ParseList(absl::string_view, absl::string_view, v1::BlockList*);

bool FitsLine(absl::string_view path) {
  return !path.empty() && std::none_of(path.begin(), path.end(), absl::ascii_iscntrl) &&
         absl::StripTrailingAsciiWhitespace(path).size() == path.size();
}

std::string AllowListLine(const v1::AllowedBinary& binary) {
  if (binary.sha256().empty()) return absl::StrCat(binary.path(), "\n");
  return absl::StrCat(ToHex(binary.sha256()), FitsLine(binary.path()) ? absl::StrCat("  ", binary.path()) : "", "\n");
}

}  // namespace bulkhead::controlplane::cli
