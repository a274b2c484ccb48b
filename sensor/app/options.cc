// What the sensor is told to do.
#include "sensor/app/options.h"

#include <yaml-cpp/yaml.h>

#include <functional>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file_util.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLargestFile = 1 << 20;

using Setter = std::function<absl::Status(const YAML::Node&)>;
using Setters = std::map<std::string, Setter>;

Setter SetText(std::string* target) {
  return [target](const YAML::Node& node) -> absl::Status {
    if (!node.IsScalar()) return absl::InvalidArgumentError("must be text");
    *target = node.Scalar();
    return absl::OkStatus();
  };
}

absl::Status SetTexts(const YAML::Node& node, std::vector<std::string>* target) {
  if (node.IsScalar()) {
    *target = {node.Scalar()};
    return absl::OkStatus();
  }
  if (!node.IsSequence()) return absl::InvalidArgumentError("must be HOST:PORT or a list of them");
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) return absl::InvalidArgumentError("must be a list of HOST:PORT");
    target->push_back(item.Scalar());
  }
  return absl::OkStatus();
}

absl::Status ReadMap(const YAML::Node& node, const std::string& prefix, const Setters& setters) {
  if (!node.IsMap())
    return absl::InvalidArgumentError(absl::StrCat(prefix.empty() ? "the file" : prefix, " must be a map"));
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "(not text)";
    const auto setter = setters.find(key);
    if (setter == setters.end()) {
      const auto name_of = [](std::string* out, const auto& pair) { absl::StrAppend(out, pair.first); };
      return absl::InvalidArgumentError(absl::StrCat("unknown key \"", prefix, key, "\" in line ",
                                                     entry.first.Mark().line + 1,
                                                     "; known here: ", absl::StrJoin(setters, ", ", name_of)));
    }
    if (const absl::Status status = setter->second(entry.second); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(prefix, key, " ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadDocument(const YAML::Node& document, RawOptions* out) {
  const Setters log = {{"level", SetText(&out->log_level)}, {"format", SetText(&out->log_format)}};
  const Setters top = {
      {"control_plane", [out](const YAML::Node& node) { return SetTexts(node, &out->control_planes); }},
      {"state_dir", SetText(&out->state_dir)},
      {"scope", SetText(&out->scope)},
      {"bpffs", SetText(&out->bpffs)},
      {"policy_file", SetText(&out->policy_file)},
      {"tamper_guard", SetText(&out->tamper_guard)},
      {"ring_sockets", SetText(&out->ring_sockets)},
      {"order_keys", SetText(&out->order_keys)},
      {"log", [&log](const YAML::Node& node) { return ReadMap(node, "log.", log); }}};
  if (document.IsNull()) return absl::OkStatus();
  return ReadMap(document, "", top);
}

const std::string& Choose(const std::string& flag, const std::string& file) {
  return flag.empty() ? file : flag;
}

// After scope and policy_file.
absl::Status SetTamperGuard(const std::string& value, Options* out) {
  if (!value.empty() && value != "on" && value != "off") {
    return absl::InvalidArgumentError(absl::StrCat("tamper_guard: \"", value, "\" is not on or off"));
  }
  out->tamper_guard = value == "on";
  if (out->tamper_guard && !out->scope.empty()) {
    return absl::InvalidArgumentError(
        "tamper_guard: cannot be combined with scope; it changes what root may do on the whole host. Leave scope out, "
        "or set tamper_guard to off");
  }
  if (out->tamper_guard && !out->policy_file.empty()) {
    return absl::InvalidArgumentError(
        "tamper_guard: cannot be combined with policy_file; without a control plane nobody could lower the guard");
  }
  return absl::OkStatus();
}

absl::Status SetRingSockets(const std::string& value, Options* out) {
  if (!value.empty() && value != "kill" && value != "report") {
    return absl::InvalidArgumentError(absl::StrCat("ring_sockets: \"", value, "\" is not kill or report"));
  }
  out->kill_ring_holders = value != "report";
  return absl::OkStatus();
}

absl::Status SetPath(absl::string_view name, const std::string& value, std::string* target) {
  if (value.empty()) return absl::OkStatus();
  if (value[0] != '/' || value.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": \"", value, "\" is not an absolute path"));
  }
  *target = value;
  while (target->size() > 1 && target->back() == '/') target->pop_back();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RawOptions> ReadOptionsFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLargestFile));
  RawOptions out;
  absl::Status status;
  try {
    status = ReadDocument(YAML::Load(text), &out);
  } catch (const YAML::Exception& error) {  // yaml-cpp reports syntax errors by exception only
    status = absl::InvalidArgumentError(error.what());
  }
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  return out;
}

absl::StatusOr<Options> CheckOptions(const RawOptions& file, const RawOptions& flags) {
  Options out;
  for (const std::string& text : flags.control_planes.empty() ? file.control_planes : flags.control_planes) {
    absl::StatusOr<HostPort> control_plane = ParseHostPort(text);
    if (!control_plane.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("control_plane: ", control_plane.status().message()));
    }
    out.control_planes.push_back(*std::move(control_plane));
  }
  RETURN_IF_ERROR(SetPath("state_dir", Choose(flags.state_dir, file.state_dir), &out.state_dir));
  RETURN_IF_ERROR(SetPath("scope", Choose(flags.scope, file.scope), &out.scope));
  RETURN_IF_ERROR(SetPath("bpffs", Choose(flags.bpffs, file.bpffs), &out.bpffs));
  RETURN_IF_ERROR(SetPath("policy_file", Choose(flags.policy_file, file.policy_file), &out.policy_file));
  if (!out.policy_file.empty() && !out.control_planes.empty()) {
    return absl::InvalidArgumentError(
        "policy_file: cannot be combined with control_plane; choose who gives the orders");
  }
  RETURN_IF_ERROR(SetTamperGuard(Choose(flags.tamper_guard, file.tamper_guard), &out));
  RETURN_IF_ERROR(SetRingSockets(Choose(flags.ring_sockets, file.ring_sockets), &out));
  RETURN_IF_ERROR(SetPath("order_keys", Choose(flags.order_keys, file.order_keys), &out.order_keys));
  if (!out.order_keys.empty() && !out.policy_file.empty()) {
    return absl::InvalidArgumentError("order_keys: cannot be combined with policy_file, which nobody signs");
  }
  const std::string& level = Choose(flags.log_level, file.log_level);
  if (!level.empty() && !ParseLogLevel(level, &out.log_level)) {
    return absl::InvalidArgumentError(
        absl::StrCat("log.level: \"", level, "\" is not one of debug, info, warning, error"));
  }
  const std::string& format = Choose(flags.log_format, file.log_format);
  if (!format.empty() && format != "text" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("log.format: \"", format, "\" is not text or json"));
  }
  out.log_json = format == "json";
  return out;
}

}  // namespace bulkhead::sensor
