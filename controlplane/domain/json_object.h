// Writes small JSON objects: the details of audit records.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bulkhead::controlplane {

// Members come out in the order in which they were added. Text must be UTF-8. Not thread safe.
class JsonObject {
 public:
  // `key` is a literal that needs no escaping.
  JsonObject& Add(absl::string_view key, absl::string_view text);
  JsonObject& Add(absl::string_view key, uint64_t number);
  JsonObject& AddBool(absl::string_view key, bool value);
  // Adds nothing when the text is empty.
  JsonObject& AddIfSet(absl::string_view key, absl::string_view text);

  std::string ToString() const { return "{" + members_ + "}"; }

 private:
  JsonObject& AddRaw(absl::string_view key, absl::string_view value);

  std::string members_;
};

}  // namespace bulkhead::controlplane
