// Names that people and machines give to things: what both sides refuse alike.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace bulkhead {

// ASCII letters, digits, ".", "_" and "-".
inline bool IsPlainNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
}

// 1..`longest` of these.
inline bool IsPlainName(absl::string_view name, size_t longest) {
  return !name.empty() && name.size() <= longest && std::all_of(name.begin(), name.end(), IsPlainNameCharacter);
}

}  // namespace bulkhead
