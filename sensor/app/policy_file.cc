// A desired state from a local file.
#include "sensor/app/policy_file.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/file_util.h"
#include "common/status_macros.h"
#include "sensor/link/state_codec.h"

namespace bulkhead::sensor {
namespace {

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + '"';
}

// Depth is bounded by yaml-cpp's own parser.
std::string ToJson(const YAML::Node& node) {
  if (node.IsScalar()) return Quote(node.Scalar());
  if (!node.IsMap() && !node.IsSequence()) return "null";
  std::string out;
  for (const auto& item : node) {
    absl::StrAppend(&out, out.empty() ? "" : ",");
    if (node.IsMap()) {
      absl::StrAppend(&out, Quote(item.first.Scalar()), ":", ToJson(item.second));
    } else {
      absl::StrAppend(&out, ToJson(item));
    }
  }
  return node.IsMap() ? absl::StrCat("{", out, "}") : absl::StrCat("[", out, "]");
}

}  // namespace

absl::StatusOr<std::string> YamlToJson(const std::string& yaml) {
  try {
    return ToJson(YAML::Load(yaml));
  } catch (const YAML::Exception& error) {  // yaml-cpp reports every error by exception
    return absl::InvalidArgumentError(error.what());
  }
}

absl::StatusOr<DesiredState> ReadPolicyFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const absl::StatusOr<std::string> json = YamlToJson(text);
  absl::StatusOr<DesiredState> state = json.ok() ? LocalDesiredStateFromJson(*json) : json.status();
  if (!state.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", state.status().message()));
  return state;
}

}  // namespace bulkhead::sensor
