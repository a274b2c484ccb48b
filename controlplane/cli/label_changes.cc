// Labels as they are written on the command line.
#include "controlplane/cli/label_changes.h"

#include "absl/strings/str_cat.h"
#include "controlplane/cli/outcome.h"

namespace bulkhead::controlplane::cli {

absl::Status ApplyLabel(const std::string& what, const std::string& change, bool may_remove,
                        google::protobuf::Map<std::string, std::string>& labels) {
  const size_t equals = change.find('=');
  if (equals != std::string::npos && equals > 0) {
    labels[change.substr(0, equals)] = change.substr(equals + 1);
    return absl::OkStatus();
  }
  const bool removes = may_remove && change.size() > 1 && change.back() == '-';
  if (!removes) {
    return UsageError(absl::StrCat(what, ": \"", change, "\" is no label; write KEY=VALUE",
                                   may_remove ? " to set one, or KEY- to remove it" : ""));
  }
  if (labels.erase(change.substr(0, change.size() - 1)) != 0) return absl::OkStatus();
  return UsageError(absl::StrCat(what, ": the sensor has no label ", change.substr(0, change.size() - 1)));
}

}  // namespace bulkhead::controlplane::cli
