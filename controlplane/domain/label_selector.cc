// Label selectors: which sensors an operator means, such as "env=prod,!canary".
#include "controlplane/domain/label_selector.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/labels.h"
#include "controlplane/domain/validate.h"

namespace bulkhead::controlplane {
namespace {

absl::Status AddEqual(absl::string_view field, const std::string& key, const std::string& value, LabelSelector* out) {
  const auto [entry, is_new] = out->equal.emplace(key, value);
  if (is_new || entry->second == value) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("asks for ", key, "=", entry->second, " and ", key, "=", value,
                                          "; a sensor has one value for each key, so nothing can match"));
}

absl::Status AddRequirement(absl::string_view field, absl::string_view text, LabelSelector* out) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos) {
    const bool absent = text.front() == '!';
    const std::string key(absl::StripAsciiWhitespace(absent ? text.substr(1) : text));
    RETURN_IF_ERROR(ValidateLabelKey(field, key));
    (absent ? out->absent : out->present).insert(key);
    return absl::OkStatus();
  }
  const bool differs = equals > 0 && text[equals - 1] == '!';
  const std::string key(absl::StripAsciiWhitespace(text.substr(0, differs ? equals - 1 : equals)));
  const std::string value(absl::StripAsciiWhitespace(text.substr(equals + 1)));
  RETURN_IF_ERROR(ValidateLabelKey(field, key));
  RETURN_IF_ERROR(ValidateLabelValue(field, value));
  if (!differs) return AddEqual(field, key, value, out);
  out->differ.emplace(key, value);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LabelSelector> ParseLabelSelector(absl::string_view field, absl::string_view text) {
  RETURN_IF_ERROR(ValidateText(field, text, kMaxSelectorBytes));
  LabelSelector selector;
  if (text.empty()) return selector;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) {
      return InvalidField(field, "has an empty part; write key=value, key!=value, key or !key, separated by commas");
    }
    RETURN_IF_ERROR(AddRequirement(field, part, &selector));
  }
  return selector;
}

}  // namespace bulkhead::controlplane
