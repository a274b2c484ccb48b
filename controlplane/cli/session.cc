// What every command works with: the terminal, the output format, and calls to the control plane.
#include "controlplane/cli/session.h"

#include "common/status_macros.h"

namespace bulkhead::controlplane::cli {

absl::Status Session::Connect() {
  if (channel_ != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(channel_, connector_(connection));
  return absl::OkStatus();
}

absl::Status Session::Print(const google::protobuf::Message& message, const std::string& text) {
  if (format == OutputFormat::kTable) {
    terminal_.out << text;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string encoded, format == OutputFormat::kJson ? ToJson(message) : ToYaml(message));
  terminal_.out << encoded;
  return absl::OkStatus();
}

absl::Status Session::PrintChange(const google::protobuf::Message& message) {
  if (format == OutputFormat::kYaml) {
    ASSIGN_OR_RETURN(const std::string yaml, ToYaml(message));
    terminal_.out << "---\n" << yaml << std::flush;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string line, ToJsonLine(message));
  terminal_.out << line << std::flush;
  return absl::OkStatus();
}

}  // namespace bulkhead::controlplane::cli
