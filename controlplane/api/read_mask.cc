// Which fields of a resource a caller wants to have.
#include "controlplane/api/read_mask.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controlplane/domain/errors.h"
#include "google/protobuf/util/field_mask_util.h"

namespace bulkhead::controlplane {

using google::protobuf::util::FieldMaskUtil;

namespace {

// protobuf takes an empty part for none.
bool IsWellFormed(absl::string_view path) {
  return !path.empty() && path.front() != '.' && path.back() != '.' && !absl::StrContains(path, "..");
}

}  // namespace

absl::StatusOr<ReadMask> ReadMask::Parse(const google::protobuf::FieldMask& mask,
                                         const google::protobuf::Descriptor& resource) {
  ReadMask parsed;
  if (mask.paths_size() == 1 && mask.paths(0) == "*") return parsed;
  for (const std::string& path : mask.paths()) {
    if (IsWellFormed(path) && FieldMaskUtil::GetFieldDescriptors(&resource, path, nullptr)) continue;
    return InvalidField("read_mask", absl::StrCat("\"", path, "\" is no field of ", resource.full_name(),
                                                  " that can be asked for; name fields as the proto does, separated "
                                                  "by dots, and repeated fields and maps as a whole"));
  }
  FieldMaskUtil::ToCanonicalForm(mask, &parsed.mask_);
  return parsed;
}

bool ReadMask::Wants(absl::string_view field) const {
  if (mask_.paths().empty()) return true;
  for (const std::string& path : mask_.paths()) {
    if (path == field || absl::StartsWith(path, absl::StrCat(field, "."))) return true;
  }
  return false;
}

void ReadMask::Trim(google::protobuf::Message* resource) const {
  if (!mask_.paths().empty()) FieldMaskUtil::TrimMessage(mask_, resource);
}

}  // namespace bulkhead::controlplane
