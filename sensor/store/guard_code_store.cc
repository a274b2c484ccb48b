// The hash of the tamper guard's one-time offline code, on disk until it is used.
#include "sensor/store/guard_code_store.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kHexDigits = 64;

}  // namespace

GuardCodeStore::GuardCodeStore(const std::string& state_dir)
    : file_(absl::StrCat(state_dir, "/guard-code"), "guard-code", 1) {}

absl::StatusOr<std::string> GuardCodeStore::Load() const {
  const absl::StatusOr<std::string> text = file_.Read();
  if (absl::IsNotFound(text.status())) return "";
  RETURN_IF_ERROR(text.status());
  if (text->empty()) return "";
  if (text->size() != kHexDigits || !std::all_of(text->begin(), text->end(), absl::ascii_isxdigit)) {
    return absl::DataLossError(absl::StrCat(file_.path(), " does not hold a SHA-256; order a new code"));
  }
  return absl::HexStringToBytes(*text);
}

absl::Status GuardCodeStore::Save(const std::string& hash) const {
  return file_.Write(ToHex(hash));
}

// Written first: a write is on the disk when it returns, a removal is not.
absl::Status GuardCodeStore::Forget() const {
  RETURN_IF_ERROR(file_.Write(""));
  return file_.Remove();
}

}  // namespace bulkhead::sensor
