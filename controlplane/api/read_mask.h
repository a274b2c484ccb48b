// Which fields of a resource a caller wants to have.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/message.h"

namespace bulkhead::controlplane {

// A read_mask that was checked. Thread safe.
class ReadMask {
 public:
  // `resource` is the message that the paths are in. No paths, or "*" alone, is everything. InvalidField("read_mask")
  // names a path that the resource does not have; a path may not go into a repeated field or a map.
  static absl::StatusOr<ReadMask> Parse(const google::protobuf::FieldMask& mask,
                                        const google::protobuf::Descriptor& resource);

  // Whether `field`, a top-level field of the resource, or something below it is wanted.
  bool Wants(absl::string_view field) const;
  // Clears what is not wanted.
  void Trim(google::protobuf::Message* resource) const;

 private:
  google::protobuf::FieldMask mask_;  // empty: everything
};

}  // namespace bulkhead::controlplane
