// A moment on the command line: a time, or how long ago.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace bulkhead::controlplane::cli {

// "2026-03-15T10:00:00Z", or an age such as "90s", "2h" or "3d". A usage error that names `flag` otherwise.
absl::StatusOr<google::protobuf::Timestamp> TimeFromFlag(absl::string_view flag, const std::string& text,
                                                         absl::Time now);

}  // namespace bulkhead::controlplane::cli
