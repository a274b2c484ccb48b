// Is a desired state well formed, for this sensor, and safe to enforce here?
#include "sensor/domain/desired_state_check.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/plain_name.h"
#include "common/status_macros.h"

namespace bulkhead::sensor {
namespace {

constexpr size_t kLongestPath = 4095;
constexpr size_t kSha256Bytes = 32;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

absl::Status Invalid(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

// An entry of a list, of either kind.
template <typename Binary>
absl::Status CheckListed(const Binary& binary, const std::string& field) {
  if (binary.path.empty() && binary.sha256.empty()) {
    return Invalid(field, "has neither a path nor a sha256; one must name the file");
  }
  if (!binary.sha256.empty() && binary.sha256.size() != kSha256Bytes) {
    return Invalid(absl::StrCat(field, ".sha256"),
                   absl::StrCat("has ", binary.sha256.size(), " bytes; a SHA-256 has ", kSha256Bytes));
  }
  if (binary.path.empty()) return absl::OkStatus();
  const absl::Status status = CheckBinaryPath(binary.path);
  return status.ok() ? status : Invalid(absl::StrCat(field, ".path"), status.message());
}

absl::Status CheckAllowList(const Policy& policy) {
  const bool is_list = policy.policy_template == PolicyTemplate::kAllowList;
  if (!is_list && (policy.learn || !policy.allowed.empty())) {
    return Invalid("allow_list", "is set, but the template is not ALLOW_LIST");
  }
  if (!is_list) return absl::OkStatus();
  if (policy.kill_running && (policy.learn || policy.action == PolicyAction::kNotify)) {
    return Invalid("allow_list.kill_running", "is set with learn or NOTIFY, which stop nothing");
  }
  if (!policy.scope.has_value()) {
    return Invalid("scope", "is unset; an allow-list for the whole host would stop the host");
  }
  if (policy.allowed.size() > kMaxAllowed) {
    return Invalid("allow_list.binaries",
                   absl::StrCat("has ", policy.allowed.size(), " entries; at most ", kMaxAllowed));
  }
  for (size_t i = 0; i < policy.allowed.size(); ++i) {
    RETURN_IF_ERROR(CheckListed(policy.allowed[i], absl::StrCat("allow_list.binaries[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckBlockList(const Policy& policy, const SensorFacts& facts) {
  if (!IsPlainName(policy.block_list, kLongestListName)) {
    return Invalid("block_binary.list.name", absl::StrCat("has 1..", kLongestListName, " of [A-Za-z0-9._-]"));
  }
  if (!policy.binary_path.empty() || !policy.binary_sha256.empty()) {
    return Invalid("block_binary.list", "is set, and so is a path or a sha256; put the file into the list");
  }
  if (policy.blocked.empty() || policy.blocked.size() > kMaxBlocked) {
    return Invalid("block_binary.list.binaries",
                   absl::StrCat("has ", policy.blocked.size(), " entries; 1..", kMaxBlocked));
  }
  const auto& own = facts.protected_paths;
  for (size_t i = 0; i < policy.blocked.size(); ++i) {
    const std::string field = absl::StrCat("block_binary.list.binaries[", i, "]");
    RETURN_IF_ERROR(CheckListed(policy.blocked[i], field));
    if (std::find(own.begin(), own.end(), policy.blocked[i].path) == own.end()) continue;
    return absl::FailedPreconditionError(absl::StrCat(field, ".path: ", policy.blocked[i].path,
                                                      " is the sensor itself; blocking it would lock the sensor out"));
  }
  return absl::OkStatus();
}

absl::Status CheckRule(const IsolationRule& rule, const std::string& field) {
  if ((rule.first_port == 0) != (rule.last_port == 0) || rule.first_port > rule.last_port) {
    return Invalid(absl::StrCat(field, ".ports"), absl::StrCat("[", rule.first_port, ", ", rule.last_port,
                                                               "] is not a range; first and last are 1..65535 and "
                                                               "first is not above last, or both are unset"));
  }
  const bool has_ports = rule.protocol == 0 || rule.protocol == kTcp || rule.protocol == kUdp;
  if (rule.first_port != 0 && !has_ports) {
    return Invalid(absl::StrCat(field, ".ports"),
                   absl::StrCat("protocol ", rule.protocol, " has no ports that can be matched; leave ports unset"));
  }
  return absl::OkStatus();
}

absl::Status CheckPolicies(const DesiredState& state) {
  if (state.policies.size() > kMaxPolicies) {
    return Invalid("enforcement_policies", absl::StrCat("has ", state.policies.size(), " entries; at most ",
                                                        kMaxPolicies, " are enforced on one host"));
  }
  std::set<std::string> ids;
  std::set<std::pair<PolicyTemplate, std::optional<PolicyScope>>> network;
  size_t scoped = 0;
  for (size_t i = 0; i < state.policies.size(); ++i) {
    const Policy& policy = state.policies[i];
    const std::string field = absl::StrCat("enforcement_policies[", i, "]");
    if (policy.id.empty()) return Invalid(absl::StrCat(field, ".id"), "is empty; every policy has an id");
    if (!ids.insert(policy.id).second) return Invalid(absl::StrCat(field, ".id"), "appears twice");
    if (!policy.is_network()) continue;
    if (!network.insert({policy.policy_template, policy.scope}).second) {
      return Invalid(absl::StrCat(field, ".template"),
                     "appears twice; one policy of a network template for each scope is enough");
    }
    scoped += policy.scope.has_value() ? 1 : 0;
  }
  if (scoped > kMaxScopedWalls) {
    return Invalid("enforcement_policies", absl::StrCat("has ", scoped, " network policies with a scope; at most ",
                                                        kMaxScopedWalls, " are enforced on one host"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBinaryPath(absl::string_view path) {
  if (path.size() < 2 || path.size() > kLongestPath) {
    return absl::InvalidArgumentError(absl::StrCat("is ", path.size(), " bytes long; a path has 2..", kLongestPath));
  }
  if (path[0] != '/') return absl::InvalidArgumentError("is relative; give an absolute path such as /usr/bin/nc");
  if (path.find('\0') != absl::string_view::npos) return absl::InvalidArgumentError("contains a NUL byte");
  for (absl::string_view component : absl::StrSplit(path.substr(1), '/')) {
    if (component.empty() || component == "." || component == "..") {
      return absl::InvalidArgumentError(
          "is not normalized; remove \"//\", \"/.\", \"/..\" components and a trailing \"/\"");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const Policy& policy, const SensorFacts& facts) {
  if (policy.scope.has_value() && policy.policy_template == PolicyTemplate::kBlockBinary) {
    return Invalid("scope", "is set, but a binary is blocked for all that the sensor enforces");
  }
  RETURN_IF_ERROR(CheckAllowList(policy));
  if (policy.policy_template != PolicyTemplate::kBlockBinary) {
    const bool names_file = !policy.binary_path.empty() || !policy.binary_sha256.empty();
    if (!names_file && policy.block_list.empty() && policy.blocked.empty()) return absl::OkStatus();
    return Invalid("block_binary", "is set, but the template is not BLOCK_BINARY");
  }
  if (policy.kill_running && policy.action == PolicyAction::kNotify) {
    return Invalid("block_binary.kill_running", "is set with NOTIFY, which stops nothing");
  }
  if (!policy.block_list.empty() || !policy.blocked.empty()) return CheckBlockList(policy, facts);
  if (policy.binary_path.empty() && policy.binary_sha256.empty()) {
    return Invalid("block_binary", "has neither a path nor a sha256 nor a list; one must name the file");
  }
  if (!policy.binary_sha256.empty() && policy.binary_sha256.size() != kSha256Bytes) {
    return Invalid("block_binary.sha256",
                   absl::StrCat("has ", policy.binary_sha256.size(), " bytes; a SHA-256 has ", kSha256Bytes));
  }
  if (policy.binary_path.empty()) return absl::OkStatus();
  if (absl::Status status = CheckBinaryPath(policy.binary_path); !status.ok()) {
    return Invalid("block_binary.path", status.message());
  }
  const auto& own = facts.protected_paths;
  if (std::find(own.begin(), own.end(), policy.binary_path) != own.end()) {
    return absl::FailedPreconditionError(absl::StrCat("block_binary.path: ", policy.binary_path,
                                                      " is the sensor itself; blocking it would lock the sensor out"));
  }
  return absl::OkStatus();
}

void RefuseExcessiveLists(DesiredState* state) {
  size_t blocked = 0;
  for (Policy& policy : state->policies) {
    if (!policy.refused.empty()) continue;
    if (blocked + policy.blocked.size() > kMaxBlocked) {
      policy.refused = absl::StrCat("block_binary.list: with its ", policy.blocked.size(), " binaries this host would ",
                                    "block ", blocked + policy.blocked.size(), "; at most ", kMaxBlocked,
                                    " of all lists are blocked. Lift another list, or order a shorter one");
    } else {
      blocked += policy.blocked.size();
    }
  }
}

absl::Status CheckDesiredState(const DesiredState& state, const SensorFacts& facts) {
  if (state.sensor_id != facts.sensor_id) {
    return Invalid("sensor_id", absl::StrCat("is \"", state.sensor_id, "\"; this sensor is ", facts.sensor_id));
  }
  if (state.generation == 0) return Invalid("generation", "is 0; generations start at 1");
  if (state.isolation_rules.size() > kMaxIsolationRules) {
    return Invalid("isolation_rules", absl::StrCat("has ", state.isolation_rules.size(), " entries; at most ",
                                                   kMaxIsolationRules, " are enforced"));
  }
  RETURN_IF_ERROR(CheckPolicies(state));
  for (size_t i = 0; i < state.isolation_rules.size(); ++i) {
    RETURN_IF_ERROR(CheckRule(state.isolation_rules[i], absl::StrCat("isolation_rules[", i, "]")));
  }
  if (state.has_wall() && facts.needs_control_plane && !facts.control_plane_known) {
    return absl::FailedPreconditionError(
        "enforcement_policies: a wall was ordered while no address of the control plane is known; it would lock the "
        "sensor out. Check that the control plane's name resolves on this host");
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::sensor
