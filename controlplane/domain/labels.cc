// Labels: what operators call sensors by in groups.
#include "controlplane/domain/labels.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"

namespace bulkhead::controlplane {
namespace {

constexpr size_t kMaxPartBytes = 63;

bool IsPunctuation(char c) {
  return c == '.' || c == '_' || c == '-';
}

// What a caller sent, short and harmless to print.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxPartBytes + 1)), "\"");
}

}  // namespace

absl::Status ValidateLabelKey(absl::string_view field, absl::string_view key) {
  const auto allowed = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || IsPunctuation(c); };
  if (!key.empty() && key.size() <= kMaxPartBytes && std::all_of(key.begin(), key.end(), allowed) &&
      absl::ascii_isalnum(key.front()) && absl::ascii_isalnum(key.back())) {
    return absl::OkStatus();
  }
  return InvalidField(field, absl::StrCat(Quoted(key),
                                          " is not a label's key, which is 1..63 of a-z, 0-9, \".\", \"_\" and \"-\", "
                                          "starting and ending with a letter or digit"));
}

absl::Status ValidateLabelValue(absl::string_view field, absl::string_view value) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || IsPunctuation(c); };
  if (value.size() <= kMaxPartBytes && std::all_of(value.begin(), value.end(), allowed)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(Quoted(value),
                                          " is not a label's value, which is at most 63 of A-Z, a-z, 0-9, \".\", \"_\" "
                                          "and \"-\""));
}

std::string LabelsText(const Labels& labels) {
  return absl::StrJoin(labels, ",", absl::PairFormatter("="));
}

absl::Status ValidateLabels(absl::string_view field, const Labels& labels) {
  if (labels.size() > kMaxLabels) {
    return InvalidField(field, absl::StrCat("holds ", labels.size(), " labels; at most ", kMaxLabels, " are allowed"));
  }
  for (const auto& [key, value] : labels) {
    RETURN_IF_ERROR(ValidateLabelKey(field, key));
    RETURN_IF_ERROR(ValidateLabelValue(field, value));
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane
