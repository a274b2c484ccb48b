// A desired state from a local file, for a host without a control plane.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "sensor/domain/desired_state.h"

namespace bulkhead::sensor {

// Reads YAML or JSON (which is YAML too) of bulkhead.v1.DesiredState; see LocalDesiredStateFromJson for what may be
// left out. InvalidArgument names the file and what is wrong.
absl::StatusOr<DesiredState> ReadPolicyFile(const std::string& path);

// YAML as JSON text. Every scalar becomes a JSON string, which protobuf reads as the type that the field has.
// InvalidArgument: not YAML.
absl::StatusOr<std::string> YamlToJson(const std::string& yaml);

}  // namespace bulkhead::sensor
