// Writes small JSON objects: the details of audit records.
#include "controlplane/domain/json_object.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace bulkhead::controlplane {
namespace {

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

JsonObject& JsonObject::Add(absl::string_view key, absl::string_view text) {
  return AddRaw(key, Quoted(text));
}

JsonObject& JsonObject::Add(absl::string_view key, uint64_t number) {
  return AddRaw(key, absl::StrCat(number));
}

JsonObject& JsonObject::AddBool(absl::string_view key, bool value) {
  return AddRaw(key, value ? "true" : "false");
}

JsonObject& JsonObject::AddIfSet(absl::string_view key, absl::string_view text) {
  return text.empty() ? *this : Add(key, text);
}

JsonObject& JsonObject::AddRaw(absl::string_view key, absl::string_view value) {
  absl::StrAppend(&members_, members_.empty() ? "" : ",", "\"", key, "\":", value);
  return *this;
}

}  // namespace bulkhead::controlplane
