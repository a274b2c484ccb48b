// Protobuf messages as JSON or YAML, for scripts.
#include "controlplane/cli/message_text.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "google/protobuf/util/json_util.h"

namespace bulkhead::controlplane::cli {
namespace {

absl::StatusOr<std::string> Convert(const google::protobuf::Message& message, bool indent) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indent;
  options.always_print_primitive_fields = true;
  std::string out;
  const auto status = google::protobuf::util::MessageToJsonString(message, &out, options);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("cannot write ", message.GetTypeName(), " as JSON: ", status.ToString()));
  }
  if (!indent) out += '\n';
  return out;
}

void EmitYaml(const YAML::Node& node, YAML::Emitter& out) {
  if (node.IsMap()) {
    out << YAML::BeginMap;
    for (const auto& entry : node) {
      out << YAML::Key << entry.first.Scalar() << YAML::Value;
      EmitYaml(entry.second, out);
    }
    out << YAML::EndMap;
  } else if (node.IsSequence()) {
    if (node.size() == 0) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const auto& element : node) EmitYaml(element, out);
    out << YAML::EndSeq;
  } else if (node.Tag() == "!") {
    // yaml-cpp marks a scalar that was quoted in its source with this tag.
    out << YAML::DoubleQuoted << node.Scalar();
  } else {
    out << node.Scalar();
  }
}

}  // namespace

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message) {
  return Convert(message, true);
}

absl::StatusOr<std::string> ToJsonLine(const google::protobuf::Message& message) {
  return Convert(message, false);
}

absl::StatusOr<std::string> ToYaml(const google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(const std::string json, Convert(message, true));
  try {
    YAML::Emitter out;
    EmitYaml(YAML::Load(json), out);
    return absl::StrCat(out.c_str(), "\n");
  } catch (const YAML::Exception& error) {
    return absl::InternalError(absl::StrCat("cannot write ", message.GetTypeName(), " as YAML: ", error.what()));
  }
}

}  // namespace bulkhead::controlplane::cli
