// Labels as they are written on the command line.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/map.h"

namespace bulkhead::controlplane::cli {

// "key=value" sets a label, "key-" removes it where that is allowed. A usage error for anything else, and for removing
// what is not there; `what` names the argument in it.
absl::Status ApplyLabel(const std::string& what, const std::string& change, bool may_remove,
                        google::protobuf::Map<std::string, std::string>& labels);

}  // namespace bulkhead::controlplane::cli
